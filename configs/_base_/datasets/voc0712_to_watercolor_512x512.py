"""Training on Pascal VOC 2007 and 2012 and testing on Watercolor2k, with captions, whose style may be named.

Watercolor2k has six of VOC's twenty classes. The metric leaves out classes without objects.
"""

_base_ = 'mmdet::_base_/datasets/voc0712.py'

captions = 'data/captions/pascal_captions_min=40_max=77.json'
target_captions = 'data/captions/watercolor_captions.json'
style = 'a watercolor painting of a {}'
target_root = 'data/cross_domain/'
target = 'watercolor'
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction', 'text')
load = dict(type='LoadImageFromFile')
annotate = dict(type='LoadAnnotations', with_bbox=True)
squash = dict(type='Resize', scale=(512, 512), keep_ratio=False)
pack = dict(type='PackDetInputs', meta_keys=meta_keys)
train_pipeline = [load, annotate, squash, dict(type='LoadCaption', ann_file=captions), pack]
test_pipeline = [
    load,
    squash,
    annotate,
    dict(type='LoadCaption', ann_file=target_captions, template=style),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text')),
]
train_sets = [dict(**{**part, 'pipeline': train_pipeline}) for part in _base_.train_dataloader.dataset.dataset.datasets]
train_dataloader = dict(
    batch_size=2,
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=train_sets,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=target_root,
        ann_file=f'{target}/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root=f'{target}/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='VOCMetric', metric='mAP', eval_mode='area', iou_thrs=[0.5 + 0.05 * step for step in range(10)]
)
test_evaluator = val_evaluator
