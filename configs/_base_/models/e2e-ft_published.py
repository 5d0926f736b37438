"""The published models of E2E-FT: zeros beside the image's latents, a single step."""

custom_imports = dict(imports=['mmdiffperc'])

# The published code predicts with an empty prompt of 2 tokens, whereas the training had 77.
model = dict(type='OneStepDiffusion', arch='sd2-1', target_input='zeros', num_tokens=2, processing_res=768)
