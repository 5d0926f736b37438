from dataclasses import replace

import pytest
import torch

from mmdiffperc.generative import DiffusionNetworks
from mmdiffperc.weights.architectures import build_unet


@pytest.fixture(scope='module')
def networks():
    networks = DiffusionNetworks.build('tiny-sd', lora=dict(r=2))
    networks.text_encoder.note_weights()  # random ones are good enough here
    return networks


def test_shapes(networks):
    images = torch.rand(2, 3, 37, 52) * 2 - 1
    latents, prompt_embeds = networks.encode(images), networks.embed(['a box', 'two red boxes'])
    assert latents.shape == (2, 8, 5, 7) and prompt_embeds.shape[:2] == (2, 77)
    predictions = [networks.denoise(latents, timestep, prompt_embeds) for timestep in (3, torch.tensor([3, 3]))]
    torch.testing.assert_close(*predictions)
    assert networks.decode(predictions[0], (37, 52)).shape == (2, 3, 37, 52)


def test_what_is_trained(networks):
    """The adapter alone, and without one the whole U-Net."""
    trained = [name for name, weight in networks.unet.named_parameters() if weight.requires_grad]
    assert trained and all('.lora_' in name for name in trained)
    assert not any(weight.requires_grad for weight in networks.autoencoder.parameters())
    assert not any(weight.requires_grad for weight in networks.text_encoder.parameters())
    assert all(weight.requires_grad for weight in DiffusionNetworks.build('tiny-sd').unet.parameters())


def test_half_precision(networks):
    """Latents and images stay in single precision."""
    half = replace(networks, unet=build_unet('tiny-sd').bfloat16())
    half.autoencoder.bfloat16()
    latents = half.encode(torch.zeros(1, 3, 16, 24))
    assert half.denoise(latents, 1, half.embed([''])).dtype == torch.bfloat16
    assert latents.dtype == half.decode(latents, (16, 24)).dtype == torch.float
    half.autoencoder.float()


@pytest.mark.parametrize('images', [None, torch.zeros(3, 16, 24), torch.zeros(1, 3, 16, 24).byte()], ids=range(3))
def test_bad_images(networks, images):
    with pytest.raises((TypeError, ValueError), match='images'):
        networks.encode(images)
