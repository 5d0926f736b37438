"""MetaPrompts for depth estimation: Stable Diffusion 1.5, three passes, each with its own prompts and adapter."""

_base_ = './sd1-5.py'

num_prompts = 50

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(seg_pad_val=0, size=(480, 480)),  # 0: no measurement
    backbone=dict(
        prompts=dict(
            type='MetaPrompts', num_prompts=num_prompts, shared=False, adapter=dict(type='TextAdapter', gamma=None)
        ),
        num_refine_steps=3,
        learned_timesteps=True,
        out_prompts=True,
    ),
    neck=dict(
        type='MetaPromptsDepthNeck', in_channels=_base_.channels, num_prompts=num_prompts, embed_dims=_base_.embed_dims
    ),
    decode_head=dict(type='MetaPromptsDepthHead', in_channels=num_prompts, max_depth=10.0, extra_cells=1),
    test_cfg=dict(mode='shift', num_windows=2, flip=True),
)
