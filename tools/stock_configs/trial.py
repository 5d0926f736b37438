"""Try a stock config with the diffusion backbone: swap it, build it, train one step, and predict."""

from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope

from mmdiffperc import swap_backbone

from .batches import make_batch
from .entries import StockConfig

PREDICTIONS = {'pred_sem_seg', 'pred_depth_map', 'pred_instances', 'pred_panoptic_seg'}


@dataclass(frozen=True)
class Trial:
    """The result of trying a config.

    Args:
        levels (tuple[int]): Levels of the U-Net that the neck and the heads receive.
        strides (tuple[int]): Strides of these levels.
        problem (str): Reason why the config does not work, or an empty string.
    """

    levels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    problem: str = ''


def try_config(stock: StockConfig, arch: str) -> Trial:
    """Swap the backbone of a stock config, build it, train one step and predict.

    Args:
        stock (StockConfig): The config.
        arch (str): Architecture of the backbone. Its weights are random.

    Returns:
        Trial: The result. Its ``problem`` says if the backbone cannot be swapped, or if mmcv lacks an operator.

    Raises:
        RuntimeError: A weight of the backbone receives no gradient, a loss is not finite, or nothing is predicted.
    """
    try:
        cfg = swap_backbone(stock.name, arch=arch, init_cfg=None, **dict(stock.options))
    except ValueError as error:
        return Trial(problem=str(error))
    with DefaultScope.overwrite_default_scope(stock.host):
        try:
            backbone = run(cfg, stock)
        except NotImplementedError as error:  # raised by our replacements for mmcv's operators
            return Trial(problem=str(error))
    return Trial(tuple(cfg.model.backbone.out_indices), backbone.out_strides)


def run(cfg: Config, stock: StockConfig) -> torch.nn.Module:
    """Build the model of a config, train it for one step, and predict.

    Returns:
        nn.Module: The backbone.

    Raises:
        RuntimeError: See :func:`try_config`.
    """
    model = build(cfg, stock)
    batch = make_batch(cfg, stock.host, stock.size, training=True)
    model.train()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
    loss.backward()
    idle = [name for name, weight in model.backbone.named_parameters() if weight.requires_grad and weight.grad is None]
    if idle or not torch.isfinite(loss):
        raise RuntimeError(f'{stock.name}: loss {loss.item()}; weights of the backbone without gradient: {idle[:3]}')
    model.eval()
    batch = make_batch(cfg, stock.host, stock.size, training=False)
    with torch.no_grad():
        (prediction,) = model(**model.data_preprocessor(batch, False), mode='predict')
    if not set(prediction.keys()) & PREDICTIONS:
        raise RuntimeError(f'{stock.name}: nothing is predicted, only {prediction.keys()}')
    return model.backbone


def build(cfg: Config, stock: StockConfig) -> BaseModel:
    """Build the model of a config for one process and small images."""
    if stock.host == 'mmseg':  # unlike complete configs, model bases do not set them
        cfg.model.data_preprocessor.update(size=stock.size, test_cfg=dict(size_divisor=32))
        cfg.model.test_cfg.update(mode='whole')
    cfg.model.data_preprocessor.pop('batch_augments', None)  # pads to 1024 x 1024
    if cfg.model.type == 'BottomupPoseEstimator':
        _set_sizes(cfg, stock.size)
    return revert_sync_batchnorm(MODELS.build(cfg.model))


def _set_sizes(part, size):
    """Scale all sizes in codecs, given as width and height, to the image size."""
    for inner in part if isinstance(part, (list, tuple)) else part.values():
        if isinstance(inner, (dict, list, tuple)):
            _set_sizes(inner, size)
    if isinstance(part, dict) and 'input_size' in part:
        height, width = size
        if 'heatmap_size' in part:
            factors = [new // old for new, old in zip(part['input_size'], part['heatmap_size'], strict=True)]
            part['heatmap_size'] = (width // factors[0], height // factors[1])
        part['input_size'] = (width, height)
