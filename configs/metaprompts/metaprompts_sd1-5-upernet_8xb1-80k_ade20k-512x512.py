"""MetaPrompts on ADE20K. Published: 55.83 mIoU single-scale, 56.81 multi-scale with flip."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=1)
resizes = [
    dict(type='Resize', scale=(int(2048 * ratio), int(512 * ratio)), keep_ratio=True)
    for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
]
tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[resizes, *_base_.views])]
tta_model = dict(type='BatchedSegTTAModel')
