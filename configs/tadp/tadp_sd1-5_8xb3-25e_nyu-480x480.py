"""TADP on NYU depth v2, captions of 40 tokens or more. Published: RMSE 0.225."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/datasets/nyu_captions.py',
    '../_base_/schedules/vpd_nyu_25e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        prompts=dict(
            _delete_=True,
            type='CaptionPrompts',
            checkpoint=_base_.pretrained,  # needed by converted checkpoints, which contain no text encoder
        ),
        scale_latents=True,
        sample_latents=True,
    ),
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
train_dataloader = dict(batch_size=3, drop_last=True, sampler=dict(type='DefaultSampler'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
