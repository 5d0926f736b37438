import torch

from mmdiffperc.models.layers.given_time_embedding import GivenTimeEmbedding
from mmdiffperc.weights.architectures import build_unet


def test_the_unet_takes_what_is_given(arch):
    """Given what it would compute for timestep 7, the output is the same; the timestep itself counts for nothing."""
    unet = build_unet(arch).eval()
    latents, prompts = torch.randn(2, 4, 8, 16), torch.randn(2, 3, 12)
    with torch.no_grad():
        expected = unet(latents, 7, prompts).sample
        embedding = unet.time_embedding(unet.get_time_embed(latents, 7))
        unet.time_embedding = GivenTimeEmbedding()
        found = unet(latents, 500, prompts, timestep_cond=embedding).sample
        other = unet(latents, 7, prompts, timestep_cond=embedding + 1).sample
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(other, expected)
