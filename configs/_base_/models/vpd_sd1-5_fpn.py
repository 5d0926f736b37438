"""VPD for semantic segmentation: Stable Diffusion 1.5, class prompts with cross-attention maps, Semantic FPN."""

_base_ = './sd1-5.py'

num_classes = 150
fpn_channels = 256
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='DiffusionSegmentor',
    backbone=dict(
        prompts=dict(
            type='ClassPrompts',
            classes='ADE20KDataset',
            # The rows of the official class_embeddings.pth are longer than a mean over many sentences would be.
            templates='photo',
            adapter=dict(type='TextAdapter'),
        ),
        cross_attention=_base_.cross_attention,
    ),
    neck=dict(
        type='FPN',
        in_channels=[width + num_classes * maps for width, maps in _base_.taps],
        out_channels=fpn_channels,
        num_outs=4,
    ),
    decode_head=dict(
        type='FPNHead',
        in_channels=[fpn_channels] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],  # only their ratios matter
        channels=256,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341), window_batch=8),
)
