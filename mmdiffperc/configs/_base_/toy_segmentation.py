"""Semantic segmentation of toy scenes in the layout of ADE20K: data, schedule and runtime."""

from mmcv.transforms import LoadImageFromFile, RandomResize, TestTimeAug
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.visualization import LocalVisBackend
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs, RandomCrop, RandomFlip, Resize
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.evaluation import IoUMetric
from mmseg.visualization import SegLocalVisualizer

from mmdiffperc.seg import BatchedSegTTAModel, CheckLabels, LoadRGBImageFromFile, ToyScenesDataset

with read_base():
    from .toy_1800 import *

num_classes = 11
data_root = 'data/toy/ade'
size = 128

load_labels = [dict(type=LoadAnnotations, reduce_zero_label=True), dict(type=CheckLabels, num_classes=num_classes)]
train_pipeline = [
    dict(type=LoadRGBImageFromFile),
    *load_labels,
    dict(type=RandomResize, scale=(size, size), ratio_range=(1.0, 1.25), keep_ratio=True),
    dict(type=RandomCrop, crop_size=(size, size)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=PackSegInputs),
]
test_pipeline = [dict(type=LoadImageFromFile), *load_labels, dict(type=PackSegInputs)]
tta_pipeline = [
    dict(type=LoadImageFromFile),
    dict(
        type=TestTimeAug,
        transforms=[
            [
                dict(type=Resize, scale=(int(size * ratio), int(size * ratio)), keep_ratio=True)
                for ratio in (1.0, 1.25, 1.5)
            ],
            [dict(type=RandomFlip, prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            *([step] for step in load_labels),
            [dict(type=PackSegInputs)],
        ],
    ),
]
tta_model = dict(type=BatchedSegTTAModel)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        type=ToyScenesDataset,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=ToyScenesDataset,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type=IoUMetric, iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper.paramwise_cfg.custom_keys = {
    'unet': dict(lr_mult=0.5),
    'norm': dict(decay_mult=0.0),
    # As in the official code, 'norm' concerns neither the norms of residual blocks nor the last one of the U-Net.
    'resnets': dict(lr_mult=0.5),
    'conv_norm_out': dict(lr_mult=0.5),
}
default_hooks.checkpoint.update(save_best='mIoU')
default_hooks.visualization = dict(type=SegVisualizationHook)
visualizer = dict(type=SegLocalVisualizer, vis_backends=[dict(type=LocalVisBackend)], name='visualizer')
custom_imports = dict(imports=['mmdiffperc.seg'])
