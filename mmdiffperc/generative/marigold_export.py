"""Export a one-step model to a diffusers folder for the pipelines of Marigold."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    MarigoldDepthPipeline,
    MarigoldNormalsPipeline,
    UNet2DConditionModel,
)
from mmengine.logging import MMLogger
from torch import nn

from mmdiffperc.files import whole_folder
from mmdiffperc.models.layers.sentence_encoder import LONGEST
from mmdiffperc.weights.lora import merge_lora

from .normal_axes import AXES, INSIDE, to_inside
from .one_step_diffusion import OneStepDiffusion, embed_task
from .published import SETTINGS, Modality

README = 'README.md'
_README = """# A model of {modality} for diffusers

    import diffusers, torch

    pipeline = diffusers.{pipeline}.from_pretrained('.')
    image = diffusers.utils.load_image('image.png')
{lines}    prediction = pipeline(image{arguments}).prediction

{note}In mmdiffperc, `published_settings` reads the arguments of `OneStepDiffusion` from `{settings}`.
"""
_LONG_PROMPT = f"""    # The model was trained with an empty prompt of {LONGEST} tokens; the pipeline has one of 2.
    tokens = pipeline.tokenizer('', padding='max_length', max_length={LONGEST}, return_tensors='pt').input_ids
    pipeline.empty_text_embedding = pipeline.text_encoder(tokens.to(pipeline.device))[0]
"""
_ZEROS = """    # The model was trained with zeros instead of noise.
    pixels, _, _ = pipeline.image_processor.preprocess(image, pipeline.default_processing_resolution)
    height, width = (side // pipeline.vae_scale_factor for side in pixels.shape[2:])
    latents = torch.zeros(1, 4, height, width, device=pipeline.device, dtype=pipeline.dtype)
"""


def export_marigold(model: OneStepDiffusion, folder: str | Path):
    """Write a model as a diffusers folder, which the pipelines of Marigold and :func:`.published_settings` load.

    If the pipeline is called as the ``README.md`` in the folder says, it predicts what the model predicts; metric depth
    is divided by ``target_scale``, and values above it are clipped. An adapter is merged. A U-Net with 4 input channels
    gets 4 more, which have no influence. The task embedding and the axes of normals become part of the weights. The
    model itself does not change.

    Args:
        model (OneStepDiffusion): The model with its weights.
        folder (str | Path): The folder to create.

    Raises:
        FileExistsError: The folder exists and is not empty.
        ValueError: The pipelines cannot do what the model does. The message names all such settings.
    """
    folder = Path(folder)
    if faults := list(_faults(model)):
        raise ValueError(f'The pipelines of Marigold cannot run this model: {"; ".join(faults)}')
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f'{folder} exists: expected a new or an empty folder')
    if model.sample_latents:
        MMLogger.get_current_instance().warning(
            'The model samples the latents of images, but the pipelines take their modes: predictions differ slightly'
        )
    with whole_folder(folder) as partial:
        _pipeline(model).save_pretrained(partial)
        (partial / SETTINGS).write_text(json.dumps(_settings(model), indent=2))
        (partial / README).write_text(_readme(model))


def _faults(model: OneStepDiffusion) -> Iterator[str]:
    """Yield what the pipelines lack."""
    codec, process = model.codec, model.process
    config, vae = process.scheduler.config, model.autoencoder.vae
    if codec.mode == 'RGB':
        yield "target_mode='RGB': expected 'F' or 'normals'"
    if codec.transform == 'log':
        yield "target_transform='log': expected depth or disparity"
    elif codec.target_scale == 'per_image' or (codec.transform and not codec.is_relative):
        yield f"target_scale={codec.target_scale!r}: set 'quantiles'; the depth then has another scale and shift"
    if not codec.full_z_range and AXES.get(codec.axes, codec.axes) != INSIDE:
        yield f'full_z_range=False with target_axes={codec.axes!r}: expected {INSIDE!r}'
    if model.use_prompts:
        yield 'use_prompts=True: they have an empty prompt'
    if not isinstance(vae, AutoencoderKL):
        yield f'its autoencoder is an {type(vae).__name__}: expected an AutoencoderKL'
    if (step := process.only_step()) != process.timestep:
        yield f'timestep={process.timestep}: with timestep_spacing={config.timestep_spacing!r}, their step is at {step}'
    if process.target_input is None and config.prediction_type != 'sample' and process.has_signal:
        yield (
            f'prediction_type={config.prediction_type!r} without target_input starts from the latents of the image: '
            "expected 'sample', or rescale_betas_zero_snr=True"
        )
    left = process.timesteps(model.num_steps)[-1] - config.num_train_timesteps // model.num_steps
    if process.last == 'clean' and model.num_steps > 1 and left >= 0:
        yield f'num_steps={model.num_steps}: expected a divisor of {config.num_train_timesteps}'
    if model.processing_res % model.autoencoder.stride:
        yield f'processing_res={model.processing_res}: expected a multiple of {model.autoencoder.stride}'


def _pipeline(model: OneStepDiffusion) -> DiffusionPipeline:
    process, is_relative = model.process, model.codec.is_relative
    changes = dict(set_alpha_to_one=True) if process.last == 'clean' else {}
    parts = dict(
        unet=_export_unet(model),
        vae=_export_vae(model),
        scheduler=DDIMScheduler.from_config(process.scheduler.config, **changes),
        text_encoder=model.text_encoder.clip,
        tokenizer=model.text_encoder.tokenizers['text_encoder'],
        prediction_type=_modality(model),
        default_denoising_steps=model.num_steps,
        default_processing_resolution=model.processing_res,
    )
    if model.codec.mode == 'normals':
        return MarigoldNormalsPipeline(**parts, use_full_z_range=model.codec.full_z_range)
    return MarigoldDepthPipeline(**parts, scale_invariant=is_relative, shift_invariant=is_relative)


def _modality(model: OneStepDiffusion) -> Modality:
    if model.codec.mode == 'normals':
        return 'normals'
    return 'disparity' if model.codec.transform == 'disparity' else 'depth'


@torch.no_grad()
def _export_unet(model: OneStepDiffusion) -> UNet2DConditionModel:
    unet = copy.deepcopy(model.unet)
    merge_lora(unet)
    narrow = unet.conv_in
    if model.task_embedding is not None:
        task = embed_task(model.task_embedding, narrow.weight[:1])
        unet.time_embedding.linear_2.bias += unet.class_embedding(task)[0]  # as the U-Net adds both embeddings
        unet.class_embedding = None
        unet.register_to_config(class_embed_type=None, projection_class_embeddings_input_dim=None)
    if model.process.target_input is None:
        channels = 2 * narrow.in_channels
        unet.conv_in = nn.Conv2d(channels, narrow.out_channels, narrow.kernel_size, padding=narrow.padding)
        unet.conv_in.weight.copy_(torch.cat([narrow.weight, torch.zeros_like(narrow.weight)], dim=1))
        unet.conv_in.bias.copy_(narrow.bias)
        unet.conv_in.to(narrow.weight)
        unet.register_to_config(in_channels=channels)
    return unet


@torch.no_grad()
def _export_vae(model: OneStepDiffusion) -> AutoencoderKL:
    vae = copy.deepcopy(model.autoencoder.vae)
    if model.codec.mode == 'normals':
        last = vae.decoder.conv_out
        matrix = torch.from_numpy(to_inside(model.codec.axes)).to(last.weight)
        last.weight.copy_(torch.einsum('ij,jchw->ichw', matrix, last.weight))
        last.bias.copy_(matrix @ last.bias)
    return vae


def _settings(model: OneStepDiffusion) -> dict:
    """Return the arguments for the exported weights."""
    codec, process = model.codec, model.process
    return dict(
        target_mode=codec.mode,
        target_scale=codec.target_scale,
        target_transform=codec.transform,
        full_z_range=codec.full_z_range,
        target_input=process.target_input or 'zeros',
        sample_latents=model.sample_latents,
        timestep=process.timestep,
        prediction_type=process.scheduler.config.prediction_type,
        num_steps=model.num_steps,
        ensemble_size=model.ensemble_size,
        processing_res=model.processing_res,
        tile_size=model.tile_size,
        tile_overlap=model.tile_overlap,
        last_latents=process.last,
        num_tokens=model.text_encoder.max_length,
    )


def _readme(model: OneStepDiffusion) -> str:
    codec = model.codec
    has_scale = codec.mode == 'F' and not codec.is_relative
    zeros = model.process.target_input == 'zeros'
    return _README.format(
        modality=_modality(model),
        pipeline=f'Marigold{"Normals" if codec.mode == "normals" else "Depth"}Pipeline',
        lines=_LONG_PROMPT * (model.text_encoder.max_length == LONGEST) + _ZEROS * zeros,
        arguments=', latents=latents' * zeros,
        note=f'Multiply by {codec.target_scale} to get the depth.\n\n' if has_scale else '',
        settings=SETTINGS,
    )
