"""ECoDepth on KITTI, split of Eigen et al. Published: RMSE 2.039."""

_base_ = [
    '../_base_/models/ecodepth_sd1-5.py',
    '../_base_/datasets/kitti_eigen_352x640.py',
    '../_base_/schedules/ecodepth_25e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=(352, 640)),
    decode_head=dict(max_depth=80.0),
    test_cfg=dict(_delete_=True, mode='blend', crop_width=640, overlap=64, flip=True),
)
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
