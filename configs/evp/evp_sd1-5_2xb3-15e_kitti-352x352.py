"""EVP on KITTI, split of Eigen et al., with a caption for each image. Published: REL 0.048."""

_base_ = [
    '../_base_/models/evp_sd1-5_depth.py',
    '../_base_/datasets/evp_kitti_352x1216.py',
    '../_base_/schedules/evp_depth_15e.py',
    'mmseg::_base_/default_runtime.py',
]

lowest = 1e-7 / 3e-4

model = dict(
    data_preprocessor=dict(size=(352, 352)),
    backbone=dict(latent_std=4.6211),
    decode_head=dict(max_depth=80.0),
    test_cfg=dict(num_windows=20),
)
train_dataloader = dict(batch_size=3, drop_last=True, sampler=dict(type='DefaultSampler'))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(_base_.param_scheduler[0], start_factor=lowest),
    dict(_base_.param_scheduler[1], eta_min_ratio=lowest),
]
default_hooks = dict(checkpoint=dict(save_best='abs_rel'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
