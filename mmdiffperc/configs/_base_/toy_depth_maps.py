"""Depth maps of toy scenes for models that keep the generator: domain a for training, domain b for testing."""

from mmcv.transforms import LoadImageFromFile
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmseg.datasets.transforms import RandomFlip, Resize

from mmdiffperc.generative import ImageTargetDataset, LoadTarget, PackTargetInputs

with read_base():
    from .runtime import *

load_image = dict(type=LoadImageFromFile)
load_depth = dict(type=LoadTarget, mode='F')
resize = dict(type=Resize, scale=(128, 128))
pack = dict(type=PackTargetInputs)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        type=ImageTargetDataset,
        data_root='data/toy/dmp',
        data_prefix=dict(img_path='train', target_path='targets/train/depth'),
        pipeline=[load_image, load_depth, resize, dict(type=RandomFlip, prob=0.5), pack],
    ),
)
test_dataset = dict(
    type=ImageTargetDataset,
    data_prefix=dict(img_path='val', target_path='targets/val/depth'),
    test_mode=True,
    pipeline=[load_image, resize, load_depth, pack],
)
test_loader = dict(batch_size=8, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False))
val_dataloader = dict(test_loader, dataset=dict(test_dataset, data_root='data/toy/dmp'))
test_dataloader = dict(test_loader, dataset=dict(test_dataset, data_root='data/toy/dmp_b'))

max_iters = 600
train_cfg.update(max_iters=max_iters, val_interval=max_iters)
default_hooks.checkpoint.update(interval=200)
