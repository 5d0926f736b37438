"""The second version of Marigold: noise beside the image's latents, refined in a few steps."""

custom_imports = dict(imports=['mmdiffperc'])

model = dict(
    type='OneStepDiffusion',
    arch='sd2-1',  # the same networks
    target_input='noise',
    num_steps=4,
    num_tokens=2,
    scheduler=dict(timestep_spacing='trailing', rescale_betas_zero_snr=True),
    last_latents='previous',  # as in the pipelines of diffusers
    processing_res=768,
)
