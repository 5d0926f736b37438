"""SDPose on COCO from Stable Diffusion 1.5 instead of 2. Published: 81.2 AP."""

_base_ = './td-hm_sdpose-sd2_8xb16-40e_coco-1024x768.py'

model = dict(
    backbone=dict(
        arch='sd1-5',
        prompts=dict(checkpoint=_base_.pretrained),
        init_cfg=dict(checkpoint=_base_.pretrained),
    ),
)
