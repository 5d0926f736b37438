"""SDPose at laptop scale: tiny-sd and the figures of toy scenes."""

_base_ = [
    '../_base_/models/sdpose_sd2.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_keypoints_128x96.py',
    '../_base_/datasets/sdpose_disturbance.py',
    '../_base_/schedules/toy_pose_1800.py',
]

width = _base_.tiny_channels[0]
train_pipeline = [
    *_base_.loading,
    *_base_.augmentation,
    _base_.crop,
    *_base_.disturbance,
    _base_.target,
    _base_.require,
    _base_.pack_clean,
]

model = dict(
    backbone=dict(
        **_base_.tiny_backbone,
        sample_latents=False,
        prompts=dict(checkpoint='tiny-sd'),
    ),
    head=dict(in_channels=width, deconv_out_channels=(width,), conv_out_channels=(width,), decoder=_base_.codec),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
