"""Images drawn by the Stable Diffusion that a model's adapter rests on."""

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from mmdiffperc.weights.lora import without_lora

from . import DeterministicDiffusion
from .captions import clean_captions


def draw_image(
    model: DeterministicDiffusion,
    schedule: DDIMScheduler,
    prompt: str,
    seed: int = 0,
    num_steps: int = 50,
    guidance_scale: float = 7.5,
) -> np.ndarray:
    """Draw an image with the base of a model, as if the adapter were not there.

    Args:
        model (DeterministicDiffusion): With an adapter.
        schedule (DDIMScheduler): That of the base, see
            :func:`.load_schedule`.
        prompt (str): What to draw.
        seed (int): Equal seeds draw equal images. Defaults to 0.
        num_steps (int): Steps of DDIM. Defaults to 50.
        guidance_scale (float): See ``diffusers.StableDiffusionPipeline``. Defaults to 7.5.

    Returns:
        np.ndarray: ``(H, W, 3)``, RGB, uint8, of the size with which the base was trained.

    Raises:
        ValueError: The model has no adapter, and so no base that draws; the prompt is empty or not in Latin script.
    """
    if not getattr(model.unet, 'peft_config', None):
        raise ValueError('Expected a model with an adapter: a U-Net that was trained as a whole no longer draws images')
    texts = *clean_captions([prompt], 1), ''
    told, untold = model.text_encoder(list(texts)).to(model.unet.dtype).split(1)
    pipeline = StableDiffusionPipeline(
        model.autoencoder.vae, None, None, without_lora(model.unet), schedule, None, None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        prompt_embeds=told,
        negative_prompt_embeds=untold,
        num_inference_steps=num_steps,
        guidance_scale=guidance_scale,
        generator=torch.Generator().manual_seed(seed),
        output_type='np',
    )
    return np.round(drawn.images[0] * 255).astype(np.uint8)
