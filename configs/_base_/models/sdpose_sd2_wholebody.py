"""SDPose for whole bodies: the feature of the second-to-last up block, behind its upsampler, and 133 keypoints."""

_base_ = './sdpose_sd2.py'

width = _base_.channels[1]

model = dict(
    backbone=dict(taps=['up_blocks.2']),
    head=dict(in_channels=width, out_channels=133, deconv_out_channels=(width,), conv_out_channels=(width,)),
)
