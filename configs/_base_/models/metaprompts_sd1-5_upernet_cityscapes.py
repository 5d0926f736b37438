"""MetaPrompts with the classes and the image size of Cityscapes."""

_base_ = './metaprompts_sd1-5_upernet.py'

num_classes = 19

model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    decode_head=dict(num_classes=num_classes, dropout_ratio=0.1),
    auxiliary_head=dict(num_classes=num_classes, dropout_ratio=0.1),
    test_cfg=dict(crop_size=(1024, 1024), stride=(512, 512), window_batch=2),
)
