import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS
from pages import write_config
from torch import nn

from mmdiffperc.engine import CompileBlocksHook
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.compilation import BLOCKS


def runner_of(model):
    return SimpleNamespace(model=model, logger=logging.getLogger('test'))


def test_blocks_are_compiled_before_a_run(archs, caplog):
    backbone = DiffusionUNet(archs['two levels']).eval()
    images = torch.rand(1, 3, 16, 24)
    with torch.no_grad(), caplog.at_level(logging.INFO):
        expected = backbone(images)
        HOOKS.build(dict(type='CompileBlocksHook', backend='eager', dynamic=False)).before_run(runner_of(backbone))
        for feature, same in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(feature, same)
    blocks = [module for module in backbone.modules() if isinstance(module, BLOCKS)]
    assert all(block._compiled_call_impl is not None for block in blocks)
    assert f'{len(blocks)} blocks' in caplog.text
    torch._dynamo.reset()


def test_a_model_without_blocks():
    with pytest.raises(ValueError, match='Linear'):
        CompileBlocksHook().before_run(runner_of(nn.Linear(2, 3)))


def test_the_config_on_the_page(tmp_path):
    hooks = Config.fromfile(write_config('config: compiled blocks', tmp_path)).custom_hooks
    assert [hook.type for hook in hooks] == ['RandomStateHook', 'CheckFiniteHook', 'CompileBlocksHook']
    assert HOOKS.build(hooks[-1]).options == dict(backend='inductor', mode=None, dynamic=True)
