"""VPD at laptop scale: tiny-sd with class prompts and cross-attention maps, Semantic FPN, and toy scenes."""

from mmengine.config import read_base
from mmengine.model import PretrainedInit
from mmseg.models import FPN, CrossEntropyLoss, FPNHead, SegDataPreProcessor
from torch.nn import BatchNorm2d

from mmdiffperc.models import ClassPrompts, CrossAttentionMaps, DiffusionUNet, TextAdapter
from mmdiffperc.seg import DiffusionSegmentor

with read_base():
    from .._base_.toy_segmentation import *

channels = 64
model = dict(
    type=DiffusionSegmentor,
    data_preprocessor=dict(
        type=SegDataPreProcessor,
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(size, size),
    ),
    backbone=dict(
        type=DiffusionUNet,
        arch='tiny-sd',
        scale_latents=True,
        init_cfg=dict(type=PretrainedInit, checkpoint='tiny-sd'),
        prompts=dict(
            type=ClassPrompts, classes='ToyScenesDataset', templates='imagenet', adapter=dict(type=TextAdapter)
        ),
        cross_attention=dict(type=CrossAttentionMaps, strides=(16, 32)),
    ),
    # At strides 16 and 32, each class adds a cross-attention map.
    neck=dict(type=FPN, in_channels=[64, 96 + num_classes, 128 + num_classes, 128], out_channels=channels, num_outs=4),
    decode_head=dict(
        type=FPNHead,
        in_channels=[channels] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],  # only their ratios matter
        channels=channels,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type=BatchNorm2d, requires_grad=True),
        align_corners=False,
        loss_decode=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
