from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmdiffperc.engine import wrap_diffusion_blocks
from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.models.layers.untapped import PartialTransformerBlock


def test_what_is_a_unit():
    block = BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4)
    for module in (block, ResnetBlock2D(in_channels=8, temb_channels=12, groups=2)):
        assert wrap_diffusion_blocks(module, recurse=False, nonwrapped_numel=0)
    assert not wrap_diffusion_blocks(nn.Sequential(block), recurse=False, nonwrapped_numel=10**9)
    assert wrap_diffusion_blocks(nn.Sequential(block), recurse=True, nonwrapped_numel=0)


def test_text_encoders_have_no_units(archs):
    """One process would wait for another that has encoded its sentences before."""
    encoder = SentenceEncoder(archs['sdxl'], 9)
    assert not any(wrap_diffusion_blocks(module, recurse=False, nonwrapped_numel=0) for module in encoder.modules())


def test_a_block_that_ends_at_a_tap_is_no_unit():
    """Its output gets no gradient, so its weights would not be gathered for the backward pass."""
    block = BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4, cross_attention_dim=6)
    assert not wrap_diffusion_blocks(PartialTransformerBlock(block, ['attn1.to_k']), False, nonwrapped_numel=0)
