"""The tiny-sd that ships is a trained Stable Diffusion: on scenes it has not seen, each of its parts does its job."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, StableDiffusionPipeline

from mmdiffperc.toy_scenes import caption, render, sample_scene
from mmdiffperc.weights.architectures import arch_folder

NUM_SCENES, SIZE = 48, 128
MAX_BYTES = 20_000_000


@pytest.fixture(scope='module')
def tiny_sd():
    return StableDiffusionPipeline.from_pretrained(arch_folder('tiny-sd'), safety_checker=None).to(torch.float32)


@pytest.fixture(scope='module')
def scenes():
    """Images ``(N, 3, 128, 128)`` in [-1, 1], and a caption of each."""
    images, captions = [], []
    for index in range(NUM_SCENES):
        rng = np.random.default_rng([2024, index])
        rendering = render(sample_scene(rng, 'a'), SIZE)
        images.append(torch.from_numpy(rendering.image).permute(2, 0, 1) / 127.5 - 1)
        captions.append(caption(rendering, rng))
    return torch.stack(images).float(), captions


@pytest.fixture(scope='module')
def latents(tiny_sd, scenes):
    with torch.no_grad():
        return tiny_sd.vae.encode(scenes[0]).latent_dist.mode() * tiny_sd.vae.config.scaling_factor


def test_it_is_small():
    assert sum(file.stat().st_size for file in arch_folder('tiny-sd').rglob('*') if file.is_file()) <= MAX_BYTES


def test_autoencoder_restores_images(tiny_sd, scenes, latents):
    with torch.no_grad():
        restored = tiny_sd.vae.decode(latents / tiny_sd.vae.config.scaling_factor).sample
    # Guessing each image's mean colour is off by 0.3.
    assert F.l1_loss(restored, scenes[0]) < 0.06
    assert latents.std().item() == pytest.approx(1, abs=0.1)
    assert (latents.std(dim=(0, 2, 3)) > 0.2).all(), 'an idle channel'


@pytest.fixture(scope='module')
def unet_losses(tiny_sd, scenes, latents):
    """Error of the predicted velocity with each scene's own caption, and with that of another scene."""
    scheduler = DDPMScheduler.from_config(tiny_sd.scheduler.config)
    generator = torch.Generator().manual_seed(0)
    timesteps = torch.randint(600, 1000, (NUM_SCENES,), generator=generator)  # there captions matter
    noise = torch.randn(latents.shape, generator=generator)
    noisy, velocity = (combine(latents, noise, timesteps) for combine in (scheduler.add_noise, scheduler.get_velocity))
    tokens = tiny_sd.tokenizer(scenes[1], padding='max_length', max_length=48, truncation=True, return_tensors='pt')
    with torch.no_grad():
        context = tiny_sd.text_encoder(tokens.input_ids).last_hidden_state
        return [
            F.mse_loss(tiny_sd.unet(noisy, timesteps, condition).sample, velocity).item()
            for condition in (context, context.roll(1, 0))
        ]


def test_unet_predicts_velocity(tiny_sd, unet_losses):
    assert tiny_sd.scheduler.config.prediction_type == 'v_prediction'
    assert unet_losses[0] < 0.75  # without a prediction: 1


def test_unet_heeds_captions(unet_losses):
    right, wrong = unet_losses
    assert right < 0.98 * wrong
