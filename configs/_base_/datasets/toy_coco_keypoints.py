"""Figures in toy scenes: ``python tools/make_toy_scenes.py data/toy_coco --formats coco``; boxes are the true ones."""

_base_ = './coco_keypoints.py'

data_root = 'data/toy_coco/'
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        data_root=data_root,
        ann_file='coco/annotations/person_keypoints_train.json',
        data_prefix=dict(img='images/train/'),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        ann_file='coco/annotations/person_keypoints_val.json',
        bbox_file=None,
        data_prefix=dict(img='images/val/'),
    ),
)
test_dataloader = val_dataloader
