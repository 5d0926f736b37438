"""MetaPrompts with one pass on Mapillary Vistas with the classes of Cityscapes: pre-training for Cityscapes."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet_cityscapes.py',
    '../_base_/datasets/mapillary_as_cityscapes_1024x1024.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(backbone=dict(num_refine_steps=1))
train_dataloader = dict(batch_size=1)
tta_model = dict(type='BatchedSegTTAModel')
