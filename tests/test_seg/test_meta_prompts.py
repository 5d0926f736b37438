"""The toy configs of MetaPrompts, with a tiny network: a step of training reaches all that trains."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tiny_arch import write_arch

CONFIGS = Path(__file__).parents[2] / 'configs' / 'metaprompts'
SIZE = (64, 96)


@pytest.fixture
def build(tmp_path):
    """Build the model of a config with narrow heads."""

    def build(name):
        config = Config.fromfile(CONFIGS / name)
        init_default_scope(config.default_scope)
        import mmseg.models  # noqa: F401

        config.model.backbone.update(arch=write_arch(tmp_path / 'arch', 'sd2'), init_cfg=None)
        config.model.neck.update(in_channels=[16, 24, 32, 40], embed_dims=20, num_groups=4)
        for part in ('decode_head', 'auxiliary_head'):
            if part in config.model:
                config.model[part].channels = 8
        return MODELS.build(config.model).train()

    return build


def train_on(model, **truth):
    """A step of training on two images; ``truth`` is one of ``gt_sem_seg`` and ``gt_depth_map``."""
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, pad_shape=SIZE))
        sample.set_data({name: PixelData(data=make()) for name, make in truth.items()})
        samples.append(sample)
    losses = model.loss(torch.rand(2, 3, *SIZE) * 2 - 1, samples)
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    return losses


def assert_all_is_reached(model):
    without = {name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None}
    assert not without
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.requires_grad)


def test_segmentation(build):
    model = build('metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py')
    losses = train_on(model, gt_sem_seg=lambda: torch.randint(11, (1, *SIZE)))
    assert {'decode.loss_ce', 'decode.loss_lovasz', 'aux.loss_ce'} < set(losses)
    assert_all_is_reached(model)


def test_depth(build):
    model = build('metaprompts_tiny-sd_1xb4-1800_toy-nyu-128x128.py')
    losses = train_on(model, gt_depth_map=lambda: torch.rand(1, *SIZE) * 9)
    assert set(losses) == {'decode.loss_silog', 'decode.maps_without_depth'}
    assert_all_is_reached(model)
