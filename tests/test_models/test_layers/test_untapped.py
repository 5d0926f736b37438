"""What is left behind the last tap computes the same, and nothing that it does not need."""

import copy

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import nn

from mmdiffperc.models.layers import Recorder, list_taps
from mmdiffperc.models.layers.untapped import PartialTransformerBlock, PassThrough, remove_untapped
from mmdiffperc.weights.architectures import build_unet

BLOCK = 'up_blocks.2.attentions.1.transformer_blocks.0'


@pytest.fixture(scope='module')
def whole(arch):
    """A network with all its parts."""
    torch.manual_seed(0)
    return build_unet(arch)


@pytest.fixture(scope='module')
def inputs():
    """Latents of sides that cannot be halved evenly, a timestep and prompts."""
    return torch.randn(2, 4, 9, 13), 1, torch.randn(2, 3, 12)


def features_of(unet, taps, inputs):
    recorder = Recorder()
    for tap in taps:
        tap.attach(unet, recorder)
    with recorder.recording() as record:
        unet(*inputs)
    return [tap.read(record) for tap in taps]


@pytest.fixture(scope='module')
def expected(whole, inputs):
    """The features at all places of the whole network."""
    taps = list_taps(whole)
    with torch.no_grad():
        features = features_of(copy.deepcopy(whole), taps, inputs)
    return {tap.name: (tap, feature) for tap, feature in zip(taps, features, strict=True)}


def cut(whole, *taps):
    unet = copy.deepcopy(whole)
    remove_untapped(unet, taps)
    return unet


@pytest.mark.parametrize(
    'names',
    [
        ['down_blocks.0.resnets.0'],
        ['down_blocks.0.attentions.1'],
        ['down_blocks.0.downsamplers.0'],
        ['down_blocks.1'],
        ['down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v'],
        ['down_blocks.3.resnets.0'],
        ['down_blocks.3'],
        ['mid_block.resnets.0'],
        ['mid_block.attentions.0'],
        ['mid_block.attentions.0.transformer_blocks.0'],
        ['mid_block'],
        ['up_blocks.0.resnets.1'],
        ['up_blocks.0.upsamplers.0'],
        ['up_blocks.1'],
        ['up_blocks.1.resnets.1'],
        ['up_blocks.2.attentions.2', 'down_blocks.0'],
        ['up_blocks.3'],
        *([f'{BLOCK}.{name}'] for name in ('norm1 (input)', 'norm1', 'attn1.to_q', 'attn1.to_k', 'attn1')),
        *([f'{BLOCK}.{name}'] for name in ('norm2 (input)', 'norm2', 'attn2.to_q', 'attn2')),
        *([f'{BLOCK}.{name}'] for name in ('norm3 (input)', 'norm3', 'ff.net.0', 'ff')),
        [f'{BLOCK}.norm1', f'{BLOCK}.attn1.to_k', f'{BLOCK}.attn1.to_v', 'mid_block.resnets.1'],
        [f'{BLOCK}.attn1.to_q', f'{BLOCK}.norm2'],
    ],
)
def test_the_same_features_from_what_they_need(whole, inputs, expected, names):
    taps = [expected[name][0] for name in names]
    unet = cut(whole, *taps)
    found = features_of(unet, taps, inputs)
    for name, feature in zip(names, found, strict=True):
        assert torch.equal(feature, expected[name][1]), name
    assert set(unet.state_dict()) <= set(whole.state_dict())
    sum((feature * torch.linspace(-1, 1, feature.numel()).view_as(feature)).sum() for feature in found).backward()
    assert not [name for name, weight in unet.named_parameters() if weight.grad is None]


def test_the_finest_level_needs_all_but_the_output(whole, expected):
    kept = {name for name, _ in whole.named_parameters() if not name.startswith(('conv_norm_out', 'conv_out'))}
    assert {name for name, _ in cut(whole, expected['up_blocks.3'][0]).named_parameters()} == kept


def test_what_is_left(whole, expected):
    unet = cut(whole, expected['down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k'][0])
    assert unet.mid_block is None and len(unet.up_blocks) == 0 and len(unet.down_blocks) == 2
    block = unet.down_blocks[1]
    assert block.downsamplers is None and len(block.resnets) == len(block.attentions) == 1
    (partial,) = block.attentions[0].transformer_blocks
    assert isinstance(partial, PartialTransformerBlock) and not isinstance(partial, BasicTransformerBlock)
    assert [name for name, _ in partial.named_parameters()] == ['norm1.weight', 'norm1.bias', 'attn1.to_k.weight']


def test_a_block_behind_the_upsampler_matches_the_size_of_the_skip_connection(whole, expected):
    unet = cut(whole, expected['up_blocks.1'][0])
    assert isinstance(unet.up_blocks[2], PassThrough) and len(unet.up_blocks) == 3
    assert expected['up_blocks.1'][1].shape[2:] == (5, 7)  # not twice 3 x 4


def test_pass_through():
    hidden = torch.randn(2, 3)
    assert PassThrough()(hidden, 1, temb=2) is hidden
    assert PassThrough(as_tuple=True)(hidden, return_dict=False)[0] is hidden


def test_a_norm_of_which_only_the_input_is_tapped_is_removed():
    block = BasicTransformerBlock(dim=8, num_attention_heads=2, attention_head_dim=4, cross_attention_dim=6)
    partial = PartialTransformerBlock(block, ['norm2 (input)'])
    assert [name for name, _ in partial.named_children()] == ['norm1', 'attn1', 'norm2']
    assert isinstance(partial.norm2, nn.Identity)
