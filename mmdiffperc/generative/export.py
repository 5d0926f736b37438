"""The parts of models that draw a target map that can be exported."""

from collections.abc import Callable

import torch
from torch import nn

from mmdiffperc.export.part import BATCH, IMAGE, LATENT_HEIGHT, LATENT_WIDTH, Input, Part, whole_numbers
from mmdiffperc.export.parts import text_encoder_part

from .one_step_diffusion import OneStepDiffusion, embed_task
from .target_codec import CHANNELS
from .target_generator import TargetGenerator


def generator_parts(model: TargetGenerator) -> dict[str, Callable[[nn.Module], Part]]:
    """Return the functions that make the parts of a generator."""
    return {
        'model': whole_part,
        'encoder': encoder_part,
        'denoiser': denoiser_part,
        'decoder': decoder_part,
        'text-encoder': lambda model: text_encoder_part(model.text_encoder),
    }


def whole_part(model: TargetGenerator) -> Part:
    """Return the whole model: an image in, the target map out, with all steps of the process.

    Raises:
        ValueError: The model draws random numbers.
    """
    is_one_step = isinstance(model, OneStepDiffusion)
    if is_one_step and (model.sample_latents or model.process.target_input == 'noise'):
        raise ValueError(
            'model cannot be exported as a whole, because it draws random numbers (sample_latents=True or '
            "target_input='noise'): export its parts 'encoder', 'denoiser' and 'decoder'"
        )
    inputs = dict(image=IMAGE)
    if model.use_prompts:
        inputs['prompt_embeds'] = _prompt_embeds(model)
    # The maps of a one-step model are combined image by image.
    return Part(Generator(model), inputs, _target(model), fixed=(BATCH,) if is_one_step else (), **_sizes(model))


def encoder_part(model: TargetGenerator) -> Part:
    """Return the encoder: an image in, its latents out."""
    latents = 'latents of the image (B, 4, h, w), scaled: the mode of their distribution'
    return Part(Encoder(model), dict(image=IMAGE), dict(latents=latents), **_sizes(model))


def denoiser_part(model: TargetGenerator) -> Part:
    """Return the U-Net: latents, a timestep and prompt embeddings in, the prediction out."""
    steps = model.process.scheduler.config.num_train_timesteps
    meaning = 'latents of the image, then those of the target so far, if the U-Net takes both'
    inputs = dict(
        latents=Input((BATCH, model.unet.config.in_channels, LATENT_HEIGHT, LATENT_WIDTH), meaning),
        timesteps=Input((BATCH,), f'timestep of each image; a run has {model.timesteps()}', whole_numbers(0, steps)),
        prompt_embeds=_prompt_embeds(model),
    )
    prediction = f'{model.process.scheduler.config.prediction_type} (B, 4, h, w)'
    return Part(Denoiser(model), inputs, dict(prediction=prediction), **_sizes(model))


def decoder_part(model: TargetGenerator) -> Part:
    """Return the decoder: latents of the target in, the target map out."""
    channels = model.autoencoder.vae.config.latent_channels
    latents = Input((BATCH, channels, LATENT_HEIGHT, LATENT_WIDTH), 'latents of the target after the last step')
    return Part(Decoder(model), dict(latents=latents), _target(model), **_sizes(model))


def _sizes(model):
    stride = model.autoencoder.stride
    levels = len(model.unet.config.block_out_channels)
    return dict(stride=stride, coarsest=stride * 2 ** (levels - 1), metadata=dict(target=model.codec.kind))


def _prompt_embeds(model) -> Input:
    axes = BATCH, model.text_encoder.max_length, model.text_encoder.embed_dims
    return Input(axes, "the output of the exported part 'text-encoder' for the caption, or for '' without captions")


def _target(model) -> dict[str, str]:
    codec = model.codec
    return dict(target=f'{codec.kind} (B, {CHANNELS[codec.mode]}, H, W), unit: {codec.unit}')


class Generator(nn.Module):
    """A whole generator.

    Args:
        model (TargetGenerator): The model.
    """

    def __init__(self, model: TargetGenerator):
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor, prompt_embeds: torch.Tensor | None = None) -> torch.Tensor:
        """Estimate target maps ``(B, C, H, W)`` of images ``(B, 3, H, W)``."""
        return self.model.estimate(image, prompt_embeds)


class Encoder(Generator):
    """The encoder of a generator."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Encode images ``(B, 3, H, W)`` to latents ``(B, 4, h, w)``."""
        return self.model.networks.encode(image)


class Denoiser(Generator):
    """The U-Net of a generator, with its task embedding if it takes one."""

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        """Predict ``(B, 4, h, w)`` from latents ``(B, C, h, w)``, timesteps ``(B,)`` and prompts ``(B, K, C)``."""
        task = getattr(self.model, 'task_embedding', None)
        task = None if task is None else embed_task(task, latents)
        return self.model.networks.denoise(latents, timesteps, prompt_embeds, task)


class Decoder(Generator):
    """The decoder of a generator, and its codec."""

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents ``(B, 4, h, w)`` to target maps ``(B, C, 8 h, 8 w)``."""
        return self.model.codec.decode(self.model.autoencoder.decode(latents))
