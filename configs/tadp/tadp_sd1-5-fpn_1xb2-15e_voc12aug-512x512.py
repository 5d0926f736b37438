"""TADP on Pascal VOC 2012, captions of 40 tokens or more. Published: 87.11 mIoU."""

_base_ = [
    '../_base_/models/tadp_sd1-5_fpn.py',
    '../_base_/datasets/voc12aug_captions_512x512.py',
    '../_base_/schedules/tadp_voc_15e.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 21

model = dict(
    decode_head=dict(
        channels=128,
        dropout_ratio=0.2,
        num_classes=num_classes,
        norm_cfg=dict(_delete_=True, type='GN', num_groups=32, requires_grad=True),
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
tta_model = dict(type='SegTTAModel')
log_processor = dict(by_epoch=True)
