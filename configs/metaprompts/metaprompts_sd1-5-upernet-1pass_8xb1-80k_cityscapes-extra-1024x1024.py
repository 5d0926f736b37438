"""MetaPrompts with one pass on Cityscapes: fine images, and coarse images with automatic labels.

Published, after pre-training on Mapillary Vistas: 85.98 mIoU single-scale, 87.26 multi-scale with flip. Set
``load_from`` to the pre-trained checkpoint.
"""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet_cityscapes.py',
    '../_base_/datasets/cityscapes_extra_1024x1024.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(backbone=dict(num_refine_steps=1))
train_dataloader = dict(batch_size=1)
tta_model = dict(type='BatchedSegTTAModel')
