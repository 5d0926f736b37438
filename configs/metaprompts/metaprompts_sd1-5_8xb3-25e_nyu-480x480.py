"""MetaPrompts on NYU depth v2. Published: RMSE 0.223."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_depth.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/vpd_nyu_25e.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=3, drop_last=True, sampler=dict(type='DefaultSampler'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
