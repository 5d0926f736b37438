"""MetaPrompts for pose estimation at laptop scale: tiny-sd and the figures of toy scenes."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_pose.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_keypoints_128x96.py',
    '../_base_/schedules/toy_pose_1800.py',
]

num_prompts = 32

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(num_prompts=num_prompts)),
    neck=dict(in_channels=_base_.tiny_channels, num_prompts=num_prompts, embed_dims=_base_.tiny_embed_dims),
    head=dict(in_channels=4 * num_prompts, conv_out_channels=(64,), decoder=_base_.codec),
    test_cfg=dict(shift_heatmap=False),
)
