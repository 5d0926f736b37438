"""Training on Cityscapes and testing on Dark Zurich, with captions, whose style may be named by ``style``.

The validation set of Dark Zurich, 50 images, is the one with public labels.
"""

_base_ = 'mmseg::_base_/datasets/cityscapes.py'

captions = 'data/captions/cityscapes_captions_min=0_max=77.json'
target_captions = 'data/captions/dark_zurich_captions_min=0_max=77.json'
style = 'a dark night photo of a {}'
meta_keys = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'reduce_zero_label',
    'text',
)
pack = dict(type='PackSegInputs', meta_keys=meta_keys)
check = dict(type='CheckLabels', num_classes=19)
load_target_caption = dict(type='LoadCaption', ann_file=target_captions, template=style)
train_pipeline = [
    dict(type='LoadRGBImageFromFile'),
    dict(type='LoadAnnotations'),
    check,
    dict(type='Resize', scale=(1280, 720), keep_ratio=False),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='LoadCaption', ann_file=captions),
    pack,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),
    check,
    load_target_caption,
    pack,
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(1024, 512), keep_ratio=True)],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [check],
            [load_target_caption],
            [pack],
        ],
    ),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type='DarkZurichDataset',
        data_root='data/dark_zurich/',
        data_prefix=dict(img_path='rgb_anon/val/night/GOPR0356', seg_map_path='gt/val/night/GOPR0356'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
