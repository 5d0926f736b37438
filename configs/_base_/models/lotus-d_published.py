"""The published models of Lotus-D: the image's latents alone, a task embedding, and clean latents in a single step."""

custom_imports = dict(imports=['mmdiffperc'])

model = dict(
    type='OneStepDiffusion',
    arch='sd2-1',  # the same networks
    timestep=999,
    prediction_type='sample',
    sample_latents=True,
    task_embedding=(1, 0),
    num_tokens=2,
    processing_res=768,
)
