"""RetinaNet at laptop scale: tiny-sd with class prompts and cross-attention maps, and toy scenes."""

from mmcv.ops import nms
from mmcv.transforms import LoadImageFromFile, RandomResize
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, RandomCrop, RandomFlip, Resize
from mmdet.engine.hooks import DetVisualizationHook, NumClassCheckHook
from mmdet.evaluation import CocoMetric
from mmdet.models import FPN, DetDataPreprocessor, FocalLoss, L1Loss, RetinaHead, RetinaNet
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder, MaxIoUAssigner, PseudoSampler
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.model import PretrainedInit
from mmengine.runner import LogProcessor
from mmengine.visualization import LocalVisBackend

from mmdiffperc.models import ClassPrompts, CrossAttentionMaps, DiffusionUNet, TextAdapter

with read_base():
    from .._base_.toy_1800 import *

classes = ('sphere', 'box', 'cylinder', 'cone', 'pyramid', 'wedge', 'dome', 'diamond', 'figure')
num_classes = len(classes)
channels = 64
strides = [8, 16, 32, 64]
model = dict(
    type=RetinaNet,
    data_preprocessor=dict(
        type=DetDataPreprocessor, mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_size_divisor=64
    ),
    backbone=dict(
        type=DiffusionUNet,
        arch='tiny-sd',
        scale_latents=True,
        init_cfg=dict(type=PretrainedInit, checkpoint='tiny-sd'),
        prompts=dict(type=ClassPrompts, classes=classes, adapter=dict(type=TextAdapter)),
        cross_attention=dict(type=CrossAttentionMaps, strides=(16, 32)),
    ),
    # At strides 16 and 32, each class adds a cross-attention map.
    neck=dict(
        type=FPN,
        in_channels=[64, 96 + num_classes, 128 + num_classes, 128],
        out_channels=channels,
        start_level=0,
        add_extra_convs='on_input',
        num_outs=len(strides),
    ),
    bbox_head=dict(
        type=RetinaHead,
        num_classes=num_classes,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        # Objects are 10 to 70 pixels large, so anchors start at 16 pixels instead of 32.
        anchor_generator=dict(
            type=AnchorGenerator, octave_base_scale=2, scales_per_octave=3, ratios=[0.5, 1.0, 2.0], strides=strides
        ),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder, target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type=FocalLoss, use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type=L1Loss, loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(type=MaxIoUAssigner, pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type=PseudoSampler),  # focal loss samples nothing
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type=nms, iou_threshold=0.5), max_per_img=100
    ),
)

data_root = 'data/toy/coco/'
size = 128
load_boxes = dict(type=LoadAnnotations, with_bbox=True, with_mask=True)
train_pipeline = [
    dict(type=LoadImageFromFile),
    load_boxes,
    dict(type=RandomResize, scale=(size, size), ratio_range=(1.0, 1.25), keep_ratio=True),
    dict(type=RandomCrop, crop_size=(size, size)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=PackDetInputs),
]
test_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(size, size), keep_ratio=True),
    load_boxes,
    dict(type=PackDetInputs, meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type=CocoDataset, metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=False,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type=CocoMetric, ann_file=f'{data_root}annotations/instances_val.json', metric='bbox', format_only=False
)
test_evaluator = val_evaluator

default_scope = 'mmdet'
optim_wrapper.clip_grad = dict(max_norm=1.0, norm_type=2)
default_hooks.checkpoint.update(max_keep_ckpts=1, save_best=None, rule='greater')
default_hooks.visualization = dict(type=DetVisualizationHook)
custom_hooks.insert(0, dict(type=NumClassCheckHook))
env_cfg.update(cudnn_benchmark=False)
log_processor.update(type=LogProcessor, window_size=50)
visualizer = dict(type=DetLocalVisualizer, vis_backends=[dict(type=LocalVisBackend)], name='visualizer')
auto_scale_lr = dict(enable=False, base_batch_size=16)
