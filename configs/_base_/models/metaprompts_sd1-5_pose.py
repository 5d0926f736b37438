"""MetaPrompts for top-down pose estimation: Stable Diffusion 1.5, three passes with learned prompts, heatmaps.

The codec of the data goes into ``head.decoder``.
"""

custom_imports = dict(imports=['mmdiffperc.pose'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'
num_prompts = 150
num_levels = 4

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(type='PoseDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
    backbone=dict(
        type='DiffusionUNet',
        arch='sd1-5',
        prompts=dict(type='MetaPrompts', num_prompts=num_prompts),
        num_refine_steps=3,
        learned_timesteps=True,
        out_prompts=True,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained),
    ),
    neck=dict(
        type='MetaPromptsHeatmapNeck', in_channels=[320, 640, 1280, 1280], num_prompts=num_prompts, embed_dims=768
    ),
    head=dict(
        type='HeatmapHead',
        in_channels=num_levels * num_prompts,
        out_channels=17,
        deconv_out_channels=None,  # the neck's feature has the heatmaps' size
        conv_out_channels=(256,),
        conv_kernel_sizes=(3,),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap'),
)
