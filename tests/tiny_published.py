"""Published models of dense prediction in miniature: diffusers folders with random weights."""

import json
from pathlib import Path

import torch
from diffusers import DDIMScheduler, MarigoldDepthPipeline, MarigoldNormalsPipeline, UNet2DConditionModel
from tiny_arch import write_arch

from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_vae
from mmdiffperc.weights.noise_schedule import load_schedule

TRAILING = dict(timestep_spacing='trailing', rescale_betas_zero_snr=True)  # as in Marigold 1.1
PIPELINES = dict(depth=MarigoldDepthPipeline, normals=MarigoldNormalsPipeline)
# What differs from Marigold in the configs of the U-Net and of the schedule, and in model_index.json.
NOT_MARIGOLD = dict(_class_name='StableDiffusionPipeline', default_denoising_steps=None, prediction_type=None)
TASK = dict(class_embed_type='projection', projection_class_embeddings_input_dim=4)
E2E_FT = dict(scheduler={}, **NOT_MARIGOLD)
LOTUS_D = dict(unet=dict(TASK, in_channels=4), scheduler={}, **NOT_MARIGOLD)
LOTUS_G = dict(unet=TASK, scheduler={}, **NOT_MARIGOLD)
GENPERCEPT = dict(unet=dict(in_channels=4), scheduler=dict(beta_start=1.0, beta_end=1.0), **NOT_MARIGOLD)


def write_published(folder: Path, modality: str = 'depth', unet: dict | None = None, scheduler: dict = TRAILING) -> str:
    """Write a whole folder of Marigold, or of another model if its U-Net and schedule are given.

    Args:
        folder (Path): The folder, which must not exist.
        modality (str): ``'depth'`` or ``'normals'``.
        unet (dict, optional): What differs in the config of the U-Net.
        scheduler (dict): What differs from the noise schedule of SD 2.1.
    """
    arch = write_arch(folder.parent / f'arch of {folder.name}', 'sd2')
    torch.manual_seed(5)
    config = json.loads(Path(arch, 'unet', 'config.json').read_text())
    vae = build_vae(arch)
    with torch.no_grad():  # vectors that are not close to zero, as normals are not
        vae.decoder.conv_out.bias.copy_(torch.tensor([0.1, -0.3, 0.7]))
    PIPELINES[modality](
        unet=UNet2DConditionModel.from_config(dict(config, in_channels=8) | (unet or {})),
        vae=vae,
        scheduler=DDIMScheduler.from_config(load_schedule('sd2-1').config, **scheduler),
        text_encoder=build_text_encoder(arch),
        tokenizer=build_tokenizer('sd2-1'),
        prediction_type=modality,
        default_denoising_steps=2,
        default_processing_resolution=64,
    ).save_pretrained(folder)
    return str(folder)


def write_configs(folder: Path, unet: dict | None = None, scheduler: dict = TRAILING, **index) -> Path:
    """Write only the configs of a folder of Marigold, or of another model if more is given.

    Args:
        folder (Path): The folder.
        unet (dict, optional): What differs in the config of the U-Net.
        scheduler (dict): What differs from the noise schedule of SD 2.1.
        **index: What differs in ``model_index.json``; None removes an entry.
    """
    marigold = dict(
        _class_name='MarigoldDepthPipeline',
        scheduler=['diffusers', 'DDIMScheduler'],
        prediction_type='depth',
        default_denoising_steps=2,
        default_processing_resolution=64,
    )
    contents = {
        'unet/config.json': dict(in_channels=8) | (unet or {}),
        'scheduler/scheduler_config.json': dict(prediction_type='v_prediction') | scheduler,
        'model_index.json': {name: value for name, value in (marigold | index).items() if value is not None},
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def load_pipeline(folder: str, modality: str = 'depth'):
    """Load a folder with the pipeline of diffusers."""
    pipeline = PIPELINES[modality].from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
