"""Toy configs at a tiny width whose results do not depend on how a batch is spread over processes.

That is: no random augmentation, no dropout, no norm over the batch, no loss over all images of a process together.
Plain gradient descent shows a gradient that is too large or too small, which Adam would hide.
"""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from tiny_arch import write_arch
from tiny_det import RETINANET, shrink, use_scenes

from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIGS = Path(__file__).parents[2] / 'configs'
VPD = CONFIGS / 'vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
FSDP = CONFIGS / 'vpd/vpd_sd1-5-fpn_fsdp_8xb2-80k_ade20k-512x512.py'
METAPROMPTS = CONFIGS / 'metaprompts/metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py'

ITERATIONS = 2
SIZE = (64, 64)
NUM_VAL = 5  # an odd number, so that shards are uneven
RANDOM = ('RandomResize', 'RandomCrop', 'RandomFlip')
PER_IMAGE = dict(dropout_ratio=0.0, channels=8, norm_cfg=dict(type='GN', num_groups=4))


def write_scenes(folder: Path) -> Path:
    """Write scenes for segmentation and for detection."""
    write_dataset(folder / 'toy', DatasetSpec(8, NUM_VAL, SIZE, seed=3, formats=('ade', 'coco')))
    return folder / 'toy'


def make_comparable(cfg: Config) -> Config:
    """Take out what is random, and train for a few iterations by gradient descent."""
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [transform for transform in dataset.pipeline if transform.type not in RANDOM]
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-3)
    cfg.param_scheduler = []
    cfg.train_cfg.update(max_iters=ITERATIONS, val_interval=ITERATIONS + 1)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=ITERATIONS // 2, save_best=None)
    cfg.custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
    return cfg


def tiny_segmentation(toy: Path, folder: Path, scenes: Path) -> Config:
    """The config of VPD or of MetaPrompts."""
    cfg = make_comparable(Config.fromfile(toy))
    cfg.model.backbone.update(arch=write_arch(folder / 'arch'), init_cfg=None)
    cfg.model.data_preprocessor.size = SIZE
    for part in ('decode_head', 'auxiliary_head'):
        if part in cfg.model:
            cfg.model[part].update(PER_IMAGE)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(scenes / 'ade')
    cfg.train_dataloader.batch_size = 4
    return cfg


def tiny_vpd(folder: Path, scenes: Path) -> Config:
    """VPD."""
    cfg = tiny_segmentation(VPD, folder, scenes)
    cfg.model.neck.update(in_channels=[8, 16 + 11, 24 + 11, 40], out_channels=8)
    cfg.model.decode_head.in_channels = [8] * 4
    return cfg


def tiny_metaprompts(folder: Path, scenes: Path) -> Config:
    """MetaPrompts, whose Lovasz loss sorts the pixels of a whole batch unless told to do so image by image."""
    cfg = tiny_segmentation(METAPROMPTS, folder, scenes)
    cfg.model.neck.update(in_channels=[8, 16, 24, 40], embed_dims=12, num_groups=4)
    cfg.model.decode_head.loss_decode[1].update(per_image=True, reduction='mean')
    return cfg


def tiny_retinanet(folder: Path, scenes: Path) -> Config:
    """RetinaNet, in batches of two: its losses are divided by the number of boxes of a process's images."""
    cfg = make_comparable(use_scenes(shrink(Config.fromfile(RETINANET), folder), scenes / 'coco'))
    cfg.train_dataloader.batch_size = 2
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.metric = ['bbox', 'proposal']  # the recall of a network that has learned little is not zero
    return cfg


BUILDERS = dict(vpd=tiny_vpd, metaprompts=tiny_metaprompts, retinanet=tiny_retinanet)


def write_configs(folder: Path) -> dict[str, str]:
    """Write them, their scenes, and for each a checkpoint of random weights to start from; their paths by name."""
    scenes = write_scenes(folder)
    return {name: write_config(build(folder / name, scenes), folder / f'{name}.py') for name, build in BUILDERS.items()}


def write_config(cfg: Config, path: Path) -> str:
    """Write a config and the checkpoint."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        state_dict = MODELS.build(cfg.model).state_dict()
    cfg.load_from = str(path.with_suffix('.pth'))
    torch.save(dict(state_dict=state_dict, meta={}), cfg.load_from)
    cfg.dump(path)
    return str(path)


def sharded(config: str, target: Path, **changes) -> str:
    """Write a config of VPD with the runner and the strategy of the config for FSDP."""
    cfg, fsdp = Config.fromfile(config), Config.fromfile(FSDP)
    cfg.update(runner_type=fsdp.runner_type, strategy=fsdp.strategy, **changes)
    cfg.dump(target)
    return str(target)


def fully_sharded(config: str, target: Path) -> str:
    """Write a config with a strategy that shards by ``fully_shard``, and with gradient checkpointing."""
    cfg = Config.fromfile(config)
    cfg.update(runner_type='FlexibleRunner', strategy=dict(type='FullyShardedStrategy'))
    cfg.model.backbone.with_cp = True
    cfg.dump(target)
    return str(target)
