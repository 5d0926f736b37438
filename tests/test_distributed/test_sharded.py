"""VPD under mmengine's FlexibleRunner, sharded by FSDP.

``test_data_parallel`` tells that it trains as one process does, and goes on when it is resumed.
"""

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from host_scripts import run
from mmengine.config import Config
from mmengine.runner import FlexibleRunner
from torch import nn

from mmdiffperc.compat.fsdp_strategy import ResumableFSDPStrategy
from mmdiffperc.engine import wrap_diffusion_blocks

from .tiny_configs import FSDP, sharded


def test_the_script_of_mim_starts_the_flexible_runner(configs, tmp_path, monkeypatch):
    """That of one process; the strategy, which is what differs, gets the config's arguments."""
    started = []
    monkeypatch.setattr(FlexibleRunner, 'train', lambda runner: started.append(runner))
    config = sharded(configs['vpd'], tmp_path / 'sharded.py')
    run('mmseg', 'train.py', config, '--work-dir', tmp_path / 'work')
    (runner,) = started
    assert isinstance(runner.strategy, ResumableFSDPStrategy)
    assert runner.strategy.model_wrapper == Config.fromfile(FSDP).strategy.model_wrapper


def test_what_is_a_unit():
    block = BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4)
    for module in (block, ResnetBlock2D(in_channels=8, temb_channels=12, groups=2)):
        assert wrap_diffusion_blocks(module, recurse=False, nonwrapped_numel=0)
    assert not wrap_diffusion_blocks(nn.Sequential(block), recurse=False, nonwrapped_numel=10**9)
    assert wrap_diffusion_blocks(nn.Sequential(block), recurse=True, nonwrapped_numel=0)
