"""``mmcv.ops`` on mmcv-lite: imports, computes correctly, and names the operator that is missing."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from child_processes import exit_code, forget, fork
from mmengine.utils.dl_utils import mmcv_full_available

from mmdiffperc.compat import mmcv_ops

pytest.importorskip('mmcv')
lite = pytest.mark.skipif(mmcv_full_available(), reason='full mmcv is installed')

BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 4]])
SCORES = torch.tensor([0.6, 0.9, 0.7, 0.5])


@lite
def test_nms_keeps_the_best_of_each_cluster():
    from mmcv.ops import nms

    detections, kept = nms(BOXES, SCORES, iou_threshold=0.5)  # boxes 0 and 1 overlap by 9 / 11
    assert kept.tolist() == [1, 2, 3]
    assert torch.equal(detections, torch.cat([BOXES, SCORES[:, None]], 1)[kept])
    assert nms(BOXES, SCORES, iou_threshold=0.85)[1].tolist() == [1, 2, 0, 3]
    assert nms(BOXES, SCORES, iou_threshold=0.85, score_threshold=0.55, max_num=2)[1].tolist() == [1, 2]


@lite
def test_offset_adds_a_pixel_to_every_side():
    from mmcv.ops import nms

    boxes, scores = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]]), torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.3)[1].tolist() == [0, 1]  # they touch
    assert nms(boxes, scores, iou_threshold=0.3, offset=1)[1].tolist() == [0]  # 2 of 6 pixels are common


@lite
def test_nms_takes_arrays_and_nothing():
    from mmcv.ops import nms

    detections, kept = nms(BOXES.numpy(), SCORES.numpy(), iou_threshold=0.5)
    assert isinstance(detections, np.ndarray) and kept.tolist() == [1, 2, 3]
    assert nms(torch.zeros(0, 4), torch.zeros(0), iou_threshold=0.5)[0].shape == (0, 5)


@lite
def test_batched_nms_keeps_classes_apart():
    from mmcv.ops import batched_nms

    classes = torch.tensor([0, 1, 0, 1])
    config = dict(type='nms', iou_threshold=0.5)
    assert batched_nms(BOXES, SCORES, classes, config)[1].tolist() == [1, 2, 0, 3]
    assert batched_nms(BOXES, SCORES, classes, config, class_agnostic=True)[1].tolist() == [1, 2, 3]


ROIS = torch.tensor([[1, 4.0, 4, 20, 16], [0, 8, 8, 24, 16], [1, 0, 0, 5, 5]])


@lite
def test_regions_are_averaged():
    """Of a plane, which bilinear interpolation and averages keep, a cell has the value at its centre."""
    from mmcv.ops import RoIAlign

    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing='ij')
    features = torch.stack([torch.stack([x, y, x + y]), torch.stack([x, y, 5 - x])])  # (2, 3, 8, 10)
    found = RoIAlign((2, 4), spatial_scale=0.25)(features, ROIS[:2])
    columns, rows = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1.25, 2.75])
    torch.testing.assert_close(found[0, 0], columns.expand(2, 4))
    torch.testing.assert_close(found[0, 1], rows[:, None].expand(2, 4))
    torch.testing.assert_close(found[0, 2], 5 - columns.expand(2, 4))
    torch.testing.assert_close(found[1, 2], columns + 1 + torch.tensor([[2.0], [3.0]]))


@lite
@pytest.mark.parametrize('aligned', [True, False])
def test_gradients_of_regions_are_those_of_torchvision(aligned):
    from mmcv.ops import RoIAlign

    options = dict(spatial_scale=0.25, sampling_ratio=2, aligned=aligned)
    ours, theirs = (RoIAlign((2, 4), use_torchvision=theirs, **options) for theirs in (False, True))
    features, weights = torch.randn(2, 3, 8, 10, requires_grad=True), torch.randn(3, 3, 2, 4)
    found, expected = (
        torch.autograd.grad((align(features, ROIS) * weights).sum(), features)[0] for align in (ours, theirs)
    )
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected)


@lite
def test_missing_operator_is_named():
    from mmcv.ops import RoIAlign, soft_nms

    with pytest.raises(NotImplementedError, match="`roi_align with pool_mode='max'`.*mmcv-lite"):
        RoIAlign(2, pool_mode='max')(torch.ones(1, 3, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]))
    with pytest.raises(NotImplementedError, match='`softnms`'):
        soft_nms(BOXES, SCORES)


@lite
def test_nobody_takes_it_for_full_mmcv():
    import mmcv.utils

    assert not mmcv_full_available()
    extension = sys.modules[mmcv_ops.EXTENSION]
    assert not hasattr(extension, '__path__') and not hasattr(extension, '__file__')
    assert mmcv.utils.collect_env()['MMCV Compiler'] == 'n/a'


def test_full_mmcv_is_left_alone(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    (tmp_path / 'mmcv' / '_ext.py').write_text('nms = "compiled"')

    def install_and_look() -> int:
        forget('mmcv')
        sys.path.insert(0, str(tmp_path))
        mmcv_ops.install()
        import mmcv._ext

        return int(mmcv._ext.nms != 'compiled')

    assert exit_code(fork(install_and_look)) == 0


def test_installing_twice_changes_nothing():
    before = sys.modules.get(mmcv_ops.EXTENSION)
    mmcv_ops.install()
    assert sys.modules.get(mmcv_ops.EXTENSION) is before


OPTIONS = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)


def tensors(dtype=torch.float64):
    """Inputs and weights, and offsets of nothing, for a kernel of 3 x 2 in three groups of offsets."""
    inputs, weight = torch.randn(2, 6, 7, 9, dtype=dtype), torch.randn(4, 3, 3, 2, dtype=dtype)
    height, width = F.conv2d(inputs, weight, **OPTIONS).shape[2:]
    return inputs, torch.zeros(2, 3 * 2 * 3 * 2, height, width, dtype=dtype), weight


def convolve(inputs, offset, weight):
    from mmcv.ops import deform_conv2d

    return deform_conv2d(inputs, offset, weight, *OPTIONS.values(), 3)


@lite
def test_deformable_convolution_without_offsets():
    inputs, offset, weight = tensors()
    torch.testing.assert_close(convolve(inputs, offset, weight), F.conv2d(inputs, weight, **OPTIONS))


@lite
def test_offsets_of_deformable_convolution_are_y_before_x():
    inputs, offset, weight = tensors()
    offset[:, 0::2], offset[:, 1::2] = 2, -1  # two cells down, one to the left
    shifted = F.pad(inputs, (1, -1, -2, 2))
    found, expected = convolve(inputs, offset, weight), F.conv2d(shifted, weight, **OPTIONS)
    torch.testing.assert_close(found[:, :, 1:-1, 2:-2], expected[:, :, 1:-1, 2:-2])  # apart from the margin


@lite
def test_gradients_of_deformable_convolution():
    inputs, offset, weight = tensors()
    offset = offset + 0.3 * torch.rand_like(offset) + 0.1
    leaves = [tensor.requires_grad_() for tensor in (inputs, offset, weight)]
    assert torch.autograd.gradcheck(convolve, leaves, fast_mode=True)


@lite
def test_deformable_layer_of_dekr():
    from mmcv.ops import DeformConv2d

    layer = DeformConv2d(4, 4, 3, padding=1, groups=2, deform_groups=2)
    found = layer(torch.randn(1, 4, 5, 8), torch.randn(1, 36, 5, 8))
    found.square().sum().backward()
    assert found.shape == (1, 4, 5, 8) and layer.weight.grad.abs().sum() > 0
