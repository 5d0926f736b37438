"""Two passes of the U-Net, as in MetaPrompts, with the head of SDPose and without its second task."""

_base_ = './td-hm_sdpose-tiny-sd_1xb4-1800_toy-coco-128x96.py'

model = dict(backbone=dict(num_refine_steps=2, task_embedding=None, reconstruction_weight=0.0))
