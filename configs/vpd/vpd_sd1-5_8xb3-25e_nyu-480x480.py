"""VPD on NYU depth v2 with the original recipe. Published: RMSE 0.254."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/vpd_nyu_25e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    decode_head=dict(
        loss_decode=dict(pooled=True),
        init_cfg=dict(
            type='TruncNormal',
            std=0.02,
            layer=['Conv2d', 'Linear'],
            override=dict(type='Normal', name='depth_pred_layer', std=0.001),
        ),
    ),
)
scenes = dict(scene_match='part')  # the original code searches a file name for each scene class in turn
train_dataloader = dict(batch_size=3, drop_last=True, sampler=dict(type='DefaultSampler'), dataset=scenes)
val_dataloader = dict(dataset=scenes)
test_dataloader = val_dataloader
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
