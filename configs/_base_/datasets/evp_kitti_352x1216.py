"""KITTI, split of Eigen et al., with a caption for each image, in ``data/kitti/captions.json``.

The authors captioned the benchmark crops of 352 x 1216.
"""

_base_ = './kitti_eigen_352x1216.py'

load_caption = dict(type='LoadCaption', ann_file='data/kitti/captions.json')
pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'sample_name', 'text'))
load_views = [_base_.both_directions, [_base_.load_depth], [_base_.crop_depth], [_base_.check_depth], [pack]]
train_pipeline = [*_base_.train_pipeline[:-1], load_caption, pack]
test_pipeline = [*_base_.test_pipeline[:-1], load_caption, pack]
tta_pipeline = [
    _base_.load_test_image,
    load_caption,
    _base_.crop_image,
    dict(type='TestTimeAug', transforms=load_views),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
