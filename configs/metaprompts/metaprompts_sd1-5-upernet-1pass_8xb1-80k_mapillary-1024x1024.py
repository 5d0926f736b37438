"""MetaPrompts with one pass on Mapillary Vistas in Cityscapes' classes: what the one on Cityscapes starts from."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet.py',
    '../_base_/datasets/mapillary_as_cityscapes_1024x1024.py',
    '../_base_/schedules/metaprompts_80k.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 19
crop_size = (1024, 1024)

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(num_refine_steps=1),
    decode_head=dict(num_classes=num_classes, dropout_ratio=0.1),
    auxiliary_head=dict(num_classes=num_classes, dropout_ratio=0.1),
    test_cfg=dict(crop_size=crop_size, stride=(512, 512)),
)
train_dataloader = dict(batch_size=1)
