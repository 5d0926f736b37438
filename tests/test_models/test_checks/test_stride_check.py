import pytest
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from tiny_det import CHANNELS, FINER, FPN, NARROW, build_stock
from torch import nn

from mmdiffperc.models.checks.stride_check import strides_behind
from mmdiffperc.models.necks import FinerLevelNeck

RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
MASK_RCNN = 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'


def test_anchors_of_a_stock_config(arch):
    """Its neck leaves the finest level out, which has stride 4 with ResNet and 8 here."""
    message = (
        r'bbox_head.*RetinaHead.*AnchorGenerator.*\[8, 16, 32, 64, 128\].*'
        r'\[16, 32, 64, 128, 256\].*DiffusionUNet.*\[8, 16, 32, 64\].*start_level'
    )
    with pytest.raises(ValueError, match=message):
        build_stock(RETINANET, arch, dict(FPN, start_level=1), bbox_head=NARROW)
    build_stock(RETINANET, arch, dict(FPN, start_level=0), bbox_head=NARROW)


def test_points(arch):
    narrow = dict(in_channels=8, feat_channels=32)
    with pytest.raises(ValueError, match=r'bbox_head.*FCOSHead.*MlvlPointGenerator.*\[8, 16, 32, 64, 128\]'):
        build_stock(FCOS, arch, dict(FPN, start_level=1), bbox_head=narrow)
    build_stock(FCOS, arch, dict(FPN, start_level=0), bbox_head=narrow)


def test_regions(arch):
    """Anchors alone are not enough."""
    with pytest.raises(ValueError, match=r'rpn_head.*RPNHead.*AnchorGenerator.*\[4, 8, 16, 32, 64\]'):
        build_stock(MASK_RCNN, arch, FPN, rpn_head=NARROW)
    coarser = dict(NARROW, anchor_generator=dict(strides=[8, 16, 32, 64, 128]))
    message = r'roi_head StandardRoIHead.*SingleRoIExtractor.*\[4, 8, 16, 32\]'
    with pytest.raises(ValueError, match=message):
        build_stock(MASK_RCNN, arch, FPN, rpn_head=coarser)
    build_stock(MASK_RCNN, arch, FINER, rpn_head=NARROW)


def test_strides_of_taps(arch):
    taps = ['up_blocks.3', 'down_blocks.0', 'down_blocks.1', 'up_blocks.1']
    neck = dict(FPN, in_channels=[8, 8, 16, 24], start_level=0)
    with pytest.raises(ValueError, match=r'\[8, 16, 32, 64, 128\].*\[8, 16, 32, 16, 32\]'):
        build_stock(RETINANET, arch, neck, taps=taps, bbox_head=NARROW)
    build_stock(
        RETINANET, arch, dict(neck, in_channels=[8, 8, 16, 40]), taps=[*taps[:3], 'mid_block'], bbox_head=NARROW
    )


def test_strides_behind_necks():
    init_default_scope('mmdet')
    fpn = MODELS.build(dict(FPN, in_channels=[4, *CHANNELS]))
    finer = FinerLevelNeck(CHANNELS)
    assert strides_behind(None, (8, 16)) == [8, 16]
    assert strides_behind(finer, (8, 16)) == [4, 8, 16]
    assert strides_behind(nn.Sequential(finer, fpn), (8, 16, 32, 64)) == [4, 8, 16, 32, 64]
    cut = MODELS.build(dict(FPN, start_level=1, end_level=2, num_outs=2))
    assert strides_behind(cut, (8, 16, 32, 64)) == [16, 32]
    assert strides_behind(nn.Sequential(nn.Identity(), fpn), (8, 16, 32, 64)) is None


def test_other_backbones_are_left_alone():
    init_default_scope('mmdet')
    model = get_config(f'mmdet::{RETINANET}').model
    model.update(backbone=dict(type='ResNet', depth=18, base_channels=4))
    model.update(neck=dict(FPN, in_channels=[4, 8, 16, 32], start_level=0))  # as wrong there
    model.bbox_head.update(NARROW)
    assert type(MODELS.build(model).backbone).__name__ == 'ResNet'
