"""MetaPrompts at laptop scale: tiny-sd, three passes with learned prompts, UPerNet, and toy scenes."""

from mmengine.config import read_base
from mmengine.model import PretrainedInit
from mmseg.models import CrossEntropyLoss, FCNHead, LovaszLoss, SegDataPreProcessor, UPerHead
from torch.nn import BatchNorm2d

from mmdiffperc.models import DiffusionUNet, MetaPrompts, MetaPromptsNeck
from mmdiffperc.seg import DiffusionSegmentor

with read_base():
    from .._base_.toy_segmentation import *

num_prompts = 32
head = dict(
    channels=64,
    dropout_ratio=0.0,
    num_classes=num_classes,
    norm_cfg=dict(type=BatchNorm2d, requires_grad=True),
    align_corners=False,
)
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
        prompts=dict(type=MetaPrompts, num_prompts=num_prompts),
        num_refine_steps=3,
        learned_timesteps=True,
        resize_skips=True,
        out_prompts=True,
    ),
    neck=dict(type=MetaPromptsNeck, in_channels=[64, 96, 128, 128], num_prompts=num_prompts, embed_dims=96),
    decode_head=dict(
        type=UPerHead,
        in_channels=[num_prompts] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        loss_decode=[
            dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=1.0),
            dict(type=LovaszLoss, reduction='none', loss_weight=1.0),
        ],
        **head,
    ),
    auxiliary_head=dict(
        type=FCNHead,
        in_channels=num_prompts,
        in_index=2,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=0.4),
        **head,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
