import pytest
import torch

from mmdiffperc.registry import MODELS

CHANNELS, SIZES = (4, 5, 6, 7), ((16, 24), (8, 12), (4, 6), (2, 3))


@pytest.fixture
def neck():
    options = dict(in_channels=CHANNELS, num_prompts=9, embed_dims=8, tower_channels=3, num_groups=4)
    return MODELS.build(dict(type='MetaPromptsDepthNeck', **options))


@pytest.fixture
def features():
    return [torch.randn(2, channels, *size) for channels, size in zip(CHANNELS, SIZES, strict=True)]


def test_all_levels_are_joined_at_the_finest_and_seen_through_the_prompts(neck, features):
    prompts = torch.randn(2, 9, 8)
    neck.eval()
    (maps,) = neck((*features, prompts))
    levels = [level(feature) for level, feature in zip(neck.levels, features, strict=True)]
    assert [level.shape for level in levels] == [(2, channels, 16, 24) for channels in CHANNELS]
    cells = neck.join(torch.cat(levels, dim=1)).flatten(2)  # (B, C, h * w)
    torch.testing.assert_close(maps.flatten(2), prompts @ cells)
    assert maps.shape[1:2] == neck.out_channels


def test_other_or_missing_prompts(neck, features):
    message = r'MetaPromptsDepthNeck.*\b4\b.*\(B, 9, 8\)'
    for inputs in ((*features, torch.randn(2, 5, 8)), features):
        with pytest.raises(ValueError, match=message):
            neck(inputs)


def test_towers_have_a_layer_per_doubling(neck):
    layers = [sum(isinstance(m, torch.nn.ConvTranspose2d) for m in level.modules()) for level in neck.levels]
    assert layers == [0, 1, 2, 3]


def test_start_values(neck):
    neck.init_weights()
    convolution = neck.join[0]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not convolution.bias.any()
