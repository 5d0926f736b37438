"""Published models of dense prediction in miniature: diffusers folders with random weights."""

import json
from pathlib import Path

import torch
from diffusers import DDIMScheduler, MarigoldDepthPipeline, MarigoldNormalsPipeline, UNet2DConditionModel

from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_vae
from mmdiffperc.weights.noise_schedule import load_schedule
from tests.tiny_arch import write_arch

TRAILING = dict(timestep_spacing='trailing', rescale_betas_zero_snr=True)  # as in Marigold 1.1
PIPELINES = dict(depth=MarigoldDepthPipeline, normals=MarigoldNormalsPipeline)


def write_published(
    folder: Path, modality: str = 'depth', unet: dict | None = None, scheduler: dict = TRAILING, **index
) -> str:
    """Write a folder of Marigold, or with other inputs of the U-Net one of E2E-FT, Lotus or GenPercept.

    Args:
        folder (Path): The folder, which must not exist.
        modality (str): ``'depth'`` or ``'normals'``.
        unet (dict, optional): What differs in the config of the U-Net. Default: 8 channels.
        scheduler (dict): What differs from the noise schedule of SD 2.1.
        **index: What differs in ``model_index.json``; None removes an entry.
    """
    arch = write_arch(folder.parent / f'{folder.name}-arch', 'sd2')
    torch.manual_seed(5)
    config = json.loads(Path(arch, 'unet', 'config.json').read_text())
    vae = build_vae(arch)
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
    path = folder / 'model_index.json'
    content = json.loads(path.read_text()) | index
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return str(folder)
