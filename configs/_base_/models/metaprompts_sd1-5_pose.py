"""MetaPrompts for top-down pose estimation: Stable Diffusion 1.5, three passes with learned prompts, heatmaps.

Each config sets ``head.decoder`` to the codec of its data.
"""

_base_ = './sd1-5_unet.py'

custom_imports = dict(imports=['mmdiffperc.pose'])

num_prompts = 150
num_levels = 4

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(type='PoseDataPreprocessor', **_base_.image_range, bgr_to_rgb=True),
    backbone=dict(
        **_base_.backbone,
        prompts=dict(type='MetaPrompts', num_prompts=num_prompts),
        num_refine_steps=3,
        learned_timesteps=True,
        out_prompts=True,
    ),
    neck=dict(
        type='MetaPromptsHeatmapNeck',
        in_channels=_base_.channels,
        num_prompts=num_prompts,
        embed_dims=_base_.embed_dims,
    ),
    head=dict(
        type='HeatmapHead',
        in_channels=num_levels * num_prompts,
        out_channels=17,
        deconv_out_channels=None,  # the neck's output already has the size of the heatmaps
        conv_out_channels=(256,),
        conv_kernel_sizes=(3,),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap'),
)
