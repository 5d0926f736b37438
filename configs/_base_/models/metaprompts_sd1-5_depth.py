"""MetaPrompts for depth estimation: Stable Diffusion 1.5, three passes, each with prompts and an adapter of its own."""

custom_imports = dict(imports=['mmdiffperc.seg'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'
num_prompts = 50

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=0,  # no measurement
        size=(480, 480),
    ),
    backbone=dict(
        type='DiffusionUNet',
        arch='sd1-5',
        prompts=dict(
            type='MetaPrompts', num_prompts=num_prompts, shared=False, adapter=dict(type='TextAdapter', gamma=None)
        ),
        num_refine_steps=3,
        learned_timesteps=True,
        out_prompts=True,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained),
    ),
    neck=dict(type='MetaPromptsDepthNeck', in_channels=[320, 640, 1280, 1280], num_prompts=num_prompts, embed_dims=768),
    decode_head=dict(type='MetaPromptsDepthHead', in_channels=num_prompts, max_depth=10.0, extra_cells=1),
    train_cfg=dict(),
    test_cfg=dict(mode='shift', num_windows=2, flip=True),
)
