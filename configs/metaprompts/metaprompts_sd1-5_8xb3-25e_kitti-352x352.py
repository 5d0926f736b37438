"""MetaPrompts on KITTI, split of Eigen et al. Published: RMSE 1.928."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_depth.py',
    '../_base_/datasets/kitti_eigen_352x1216.py',
    '../_base_/schedules/vpd_nyu_25e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=(352, 352)),
    decode_head=dict(max_depth=80.0, extra_cells=2),
    test_cfg=dict(num_windows=16, window_batch=8),
)
train_dataloader = dict(batch_size=3, drop_last=True, sampler=dict(type='DefaultSampler'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
