"""MetaPrompts on Cityscapes, fine annotations only. Published: 84.38 mIoU single-scale, 85.77 multi-scale with flip."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet_cityscapes.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=1)
tta_model = dict(type='BatchedSegTTAModel')
