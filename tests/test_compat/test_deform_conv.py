"""Deformable convolution of mmcv-lite: looks where it is told, y before x, and has the right gradients."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.utils.dl_utils import mmcv_full_available

pytest.importorskip('mmcv')
pytestmark = pytest.mark.skipif(mmcv_full_available(), reason='full mmcv is installed')

OPTIONS = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)


def tensors(dtype=torch.float64):
    """Inputs and weights, and offsets of nothing, for a kernel of 3 x 2 in three groups of offsets."""
    inputs, weight = torch.randn(2, 6, 7, 9, dtype=dtype), torch.randn(4, 3, 3, 2, dtype=dtype)
    height, width = F.conv2d(inputs, weight, **OPTIONS).shape[2:]
    return inputs, torch.zeros(2, 3 * 2 * 3 * 2, height, width, dtype=dtype), weight


def convolve(inputs, offset, weight):
    from mmcv.ops import deform_conv2d

    return deform_conv2d(inputs, offset, weight, *OPTIONS.values(), 3)


def test_without_offsets_it_is_a_convolution():
    inputs, offset, weight = tensors()
    torch.testing.assert_close(convolve(inputs, offset, weight), F.conv2d(inputs, weight, **OPTIONS))


def test_offsets_are_y_before_x():
    inputs, offset, weight = tensors()
    offset[:, 0::2], offset[:, 1::2] = 2, -1  # two cells down, one to the left
    shifted = F.pad(inputs, (1, -1, -2, 2))
    found, expected = convolve(inputs, offset, weight), F.conv2d(shifted, weight, **OPTIONS)
    torch.testing.assert_close(found[:, :, 1:-1, 2:-2], expected[:, :, 1:-1, 2:-2])  # apart from the margin


def test_gradients():
    inputs, offset, weight = tensors()
    offset = offset + 0.3 * torch.rand_like(offset) + 0.1
    leaves = [tensor.requires_grad_() for tensor in (inputs, offset, weight)]
    assert torch.autograd.gradcheck(convolve, leaves, fast_mode=True)


def test_the_layer_of_dekr():
    from mmcv.ops import DeformConv2d

    layer = DeformConv2d(4, 4, 3, padding=1, groups=2, deform_groups=2)
    found = layer(torch.randn(1, 4, 5, 8), torch.randn(1, 36, 5, 8))
    found.square().sum().backward()
    assert found.shape == (1, 4, 5, 8) and layer.weight.grad.abs().sum() > 0
