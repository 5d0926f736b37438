import pytest
import torch
import torch.nn.functional as F

from mmdiffperc.models import MetaPromptsNeck
from mmdiffperc.registry import MODELS

CHANNELS, SIZES = (3, 5, 7), ((6, 10), (3, 5), (2, 3))


@pytest.fixture
def neck():
    """With norms that do something."""
    neck = MODELS.build(dict(type='MetaPromptsNeck', in_channels=CHANNELS, num_prompts=9, embed_dims=8, num_groups=4))
    for module in neck.modules():
        if isinstance(module, torch.nn.GroupNorm):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    return neck


@pytest.fixture
def features():
    return [torch.randn(2, channels, *size) for channels, size in zip(CHANNELS, SIZES, strict=True)]


def test_maps_are_inner_products_with_the_prompts(neck, features):
    prompts = torch.randn(2, 9, 8)
    maps = neck((*features, prompts))
    assert isinstance(neck, MetaPromptsNeck) and neck.out_channels == (9, 9, 9)
    for level, feature, found in zip(neck.levels, features, maps, strict=True):
        conv, norm, _ = level
        larger = F.interpolate(feature, scale_factor=2, mode='bilinear', align_corners=False)
        seen = F.relu(F.group_norm(F.conv2d(larger, conv.weight, conv.bias, padding=1), 4, norm.weight, norm.bias))
        cells = seen.flatten(2)  # (B, C, 2h * 2w)
        assert found.shape == (2, 9, 2 * feature.shape[2], 2 * feature.shape[3])
        torch.testing.assert_close(found.flatten(2), prompts @ cells)


def test_gradients_reach_features_and_prompts(neck, features):
    prompts = torch.randn(2, 9, 8, requires_grad=True)
    for feature in features:
        feature.requires_grad_()
    sum(found.square().sum() for found in neck((*features, prompts))).backward()
    assert all(torch.is_nonzero(tensor.grad.abs().sum()) for tensor in (prompts, *features, *neck.parameters()))


@pytest.mark.parametrize('shape', [(2, 4, 8), (2, 9, 12)])
def test_other_prompts(neck, features, shape):
    with pytest.raises(ValueError, match=r'\b3\b.*\(B, 9, 8\).*out_prompts=True'):
        neck((*features, torch.randn(shape)))


def test_missing_prompts(neck, features):
    with pytest.raises(ValueError, match=r'3.*out_prompts=True'):
        neck(features)


def test_a_width_that_has_no_such_groups():
    with pytest.raises(ValueError, match='embed_dims=20.*num_groups=16'):
        MetaPromptsNeck(CHANNELS, num_prompts=9, embed_dims=20)
