from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmdiffperc.engine import wrap_diffusion_blocks


def test_what_is_a_unit():
    block = BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4)
    for module in (block, ResnetBlock2D(in_channels=8, temb_channels=12, groups=2)):
        assert wrap_diffusion_blocks(module, recurse=False, nonwrapped_numel=0)
    assert not wrap_diffusion_blocks(nn.Sequential(block), recurse=False, nonwrapped_numel=10**9)
    assert wrap_diffusion_blocks(nn.Sequential(block), recurse=True, nonwrapped_numel=0)
