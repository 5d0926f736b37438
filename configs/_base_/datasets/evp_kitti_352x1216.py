"""KITTI, split of Eigen et al., with a caption for each image, in ``data/kitti/captions.json``.

The authors captioned the benchmark crops of 352 x 1216.
"""

_base_ = './kitti_eigen_352x1216.py'

captions = dict(type='LoadCaption', ann_file='data/kitti/captions.json')
pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'sample_name', 'text'))

train_pipeline = [
    _base_.load_image,
    captions,
    _base_.load_depth,
    _base_.check_depth,
    _base_.benchmark_crop,
    _base_.mix,
    _base_.flip,
    dict(type='RandomCrop', crop_size=(352, 352)),
    _base_.change_colours,
    pack,
]
test_pipeline = [
    _base_.load_test_image,
    captions,
    _base_.load_depth,
    _base_.check_depth,
    _base_.benchmark_crop,
    pack,
]
tta_pipeline = [
    _base_.load_test_image,
    captions,
    _base_.crop_image,
    dict(
        type='TestTimeAug',
        transforms=[
            _base_.both_directions,
            [_base_.load_depth],
            [_base_.crop_depth],
            [_base_.check_depth],
            [pack],
        ],
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
