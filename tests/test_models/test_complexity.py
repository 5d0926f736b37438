"""Counts by hand for one layer of each kind; a small backbone as a whole."""

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.complexity import _count, _multiply_adds, count_parts
from mmdiffperc.models.layers.cross_attention import MapAttnProcessor
from mmdiffperc.models.layers.recorder import Recorder

TOKENS, PROMPTS, WIDTH, PROMPT_WIDTH = 15, 7, 8, 12


def multiply_adds(run):
    return _multiply_adds(_count(run), 'Global')


@pytest.mark.parametrize(
    ('layer', 'shape', 'expected'),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 4, 6), 2 * 4 * 6 * 8 * 3 * 9),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), (1, 4, 4, 6), 2 * 3 * 8 * 2 * 9),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), (2, 8, 4, 6), 2 * 4 * 6 * 8 * 4 * 4),
        (nn.Linear(5, 7), (2, 3, 5), 2 * 3 * 5 * 7),
        (nn.GroupNorm(2, 4), (2, 4, 3, 5), 0),
        (nn.LayerNorm(5), (2, 3, 5), 0),
        (nn.SiLU(), (2, 3), 0),
    ],
    ids=['conv', 'grouped conv', 'transposed conv', 'linear', 'group norm', 'layer norm', 'activation'],
)
@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_layers(layer, shape, expected, device):
    layer = layer.to_empty(device=device)
    assert multiply_adds(lambda: layer(torch.empty(shape, device=device))) == expected


PROJECTIONS = 2 * TOKENS * WIDTH * WIDTH  # query and output
KEYS = PROMPTS * PROMPT_WIDTH * WIDTH
SCORES = TOKENS * PROMPTS * WIDTH


def test_attention():
    attention = Attention(WIDTH, heads=2, dim_head=4)
    expected = 4 * TOKENS * WIDTH * WIDTH + 2 * TOKENS * TOKENS * WIDTH
    assert multiply_adds(lambda: attention(torch.rand(1, TOKENS, WIDTH))) == expected


def test_cross_attention_with_and_without_maps():
    attention = Attention(WIDTH, PROMPT_WIDTH, heads=2, dim_head=4)
    inputs = torch.rand(1, TOKENS, WIDTH), torch.rand(1, PROMPTS, PROMPT_WIDTH)
    alone = PROJECTIONS + 2 * KEYS + 2 * SCORES
    assert multiply_adds(lambda: attention(*inputs)) == alone
    recorder = Recorder()
    attention.set_processor(MapAttnProcessor('attn2', recorder))

    def with_maps():
        with recorder.recording():
            attention(*inputs)

    # The maps need a query, a key and the scores again.
    assert multiply_adds(with_maps) == alone + TOKENS * WIDTH * WIDTH + KEYS + SCORES


class Model(nn.Module):
    """A backbone, a neck, and a head of which nothing but a submodule is called."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.neck = nn.Conv2d(backbone.out_channels[0], 4, 1)
        self.head = nn.Sequential(nn.Linear(4, 2, bias=False))

    def forward(self, images, mode):
        return self.head[0](self.neck(self.backbone(images)[0]).movedim(1, -1)) @ torch.ones(2, 3)


def test_parts(archs):
    config = dict(arch=archs['two levels'], prompts=dict(type='MetaPrompts', num_prompts=3), out_indices=[0])
    backbone = DiffusionUNet(**config, cross_attention=dict(strides=[2])).eval()
    plain = DiffusionUNet(**config).eval()
    counts = count_parts(Model(backbone), plain, torch.zeros(2, 3, 8, 12))
    assert list(counts)[:4] == [
        'autoencoder',
        'U-Net conv_in',
        'U-Net time_embedding',
        'U-Net down_blocks.0 (stride 2)',
    ]
    assert list(counts)[5:8] == ['U-Net mid_block', 'U-Net up_blocks.0 (stride 4)', 'U-Net up_blocks.1 (stride 2)']
    cells = 2 * 4 * 6
    assert counts['U-Net conv_in'] == (8 * 4 * 9 + 8, cells * 8 * 4 * 9)
    assert counts['neck'] == (11 * 4 + 4, cells * 11 * 4)
    assert counts['head'] == (4 * 2, cells * 4 * 2)
    assert counts['other'] == (0, cells * 2 * 3)
    assert counts['prompts'] == (3 * 12, 0)
    # One layer on the way down and two on the way up compute maps: a query, a key and the scores.
    assert counts['attention maps'] == (0, 3 * (cells * 8 * 8 + 2 * 3 * 12 * 8 + cells * 3 * 8))
    for index in range(2):
        assert counts['total'][index] == sum(count[index] for name, count in counts.items() if name != 'total')
    assert counts['total'].parameters == sum(weight.numel() for weight in Model(backbone).parameters())
