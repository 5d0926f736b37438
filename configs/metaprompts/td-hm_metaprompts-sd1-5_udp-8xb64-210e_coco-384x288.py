"""MetaPrompts for pose estimation on COCO at 384 x 288, unbiased data processing (UDP)."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_pose.py',
    '../_base_/datasets/coco_keypoints_udp_384x288.py',
    '../_base_/schedules/metaprompts_coco_210e.py',
]

model = dict(head=dict(decoder=_base_.codec), test_cfg=dict(shift_heatmap=False))
