"""EVP on NYU depth v2, with a caption for each image. Published: RMSE 0.224."""

_base_ = [
    '../_base_/models/evp_sd1-5_depth.py',
    '../_base_/datasets/evp_nyu_480x480.py',
    '../_base_/schedules/evp_depth_15e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(latent_std=5.07543),
    decode_head=dict(max_depth=10.0),
    test_cfg=dict(num_windows=8),
)
train_dataloader = dict(batch_size=2, drop_last=True, sampler=dict(type='DefaultSampler'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
