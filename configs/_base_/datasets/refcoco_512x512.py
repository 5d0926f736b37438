"""RefCOCO as in VPD and LAVT.

Images and masks are resized to 512 x 512 without keeping the aspect ratio, also for evaluation.

The files are the same as for mmdet, in ``data/coco``: ``train2014/*.jpg``, ``refcoco/instances.json`` and
``refcoco/refs(unc).p``, with the splits train, val, testA and testB. Published results are for val. To test
another split, pass ``--cfg-options test_dataloader.dataset.split=testA``. For Google's split, which has train, val and
test, set ``split_file='refcoco/refs(google).p'``.
"""

dataset_type = 'ReferringSegDataset'
data_root = 'data/coco/'
data_prefix = dict(img_path='train2014/')
ann_file = 'refcoco/instances.json'
split_file = 'refcoco/refs(unc).p'

# Like the official pipeline, Pillow smooths when it downsamples; OpenCV does not. A flip would make "left" wrong.
resize = dict(type='Resize', scale=(512, 512), keep_ratio=False, backend='pillow')
pack = dict(
    type='PackSegInputs',
    meta_keys=(
        'img_path',
        'img_id',
        'ref_id',
        'sentence_number',
        'text',
        'ori_shape',
        'img_shape',
        'pad_shape',
        'scale_factor',
    ),
)
train_pipeline = [dict(type='LoadRGBImageFromFile'), dict(type='LoadReferringMask'), resize, pack]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadReferringMask'),
    resize,
    dict(type='EvaluateAtInputSize'),
    pack,
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file=ann_file,
        split_file=split_file,
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file=ann_file,
        split_file=split_file,
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ReferringSegMetric')
test_evaluator = val_evaluator
