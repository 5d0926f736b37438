"""DMP: Stable Diffusion 1.4 with a LoRA of rank 4, prompts, guidance and five steps; targets are RGB images."""

custom_imports = dict(imports=['mmdiffperc'])

pretrained = 'CompVis/stable-diffusion-v1-4'

model = dict(
    type='DeterministicDiffusion',
    arch='sd1-4',
    prediction_type='v_prediction',
    guidance_scale=2.0,
    num_steps=5,
    lora=dict(r=4),
    init_cfg=dict(type='Pretrained', checkpoint=pretrained),
)
