"""The official pipeline of DMP at tiny width: its networks with a released LoRA layout, runs, decoding."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmdiffperc.generative import DeterministicDiffusion, DeterministicProcess, TargetCodec
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import load_lora
from mmdiffperc.weights.noise_schedule import load_schedule

from .agreement import assert_agrees
from .detweights import make_image, make_state_dict

FOLDER = Path(__file__).parent / 'dmp'
ARCH = str(FOLDER / 'tiny_pipeline')
CAPTIONS = ['the bed room', 'a door']


def manifest(name):
    return json.loads(gzip.decompress((FOLDER / f'manifest_{name}.json.gz').read_bytes()))


@pytest.fixture(scope='module')
def recorded():
    return np.load(FOLDER / 'outputs.npz')


@pytest.fixture(scope='module')
def images():
    return make_image('dmp_rgb', (2, 3, 64, 64))


@pytest.fixture(scope='module')
def base():
    """The model without an adapter."""
    model = DeterministicDiffusion(ARCH, target_mode='F', target_scale=8.0, guidance_scale=2.0, lora=None)
    vae = make_state_dict(manifest('tiny_vae'))
    vae['quant_conv.weight'][4:], vae['quant_conv.bias'][4:] = 0, -30  # no variance, so that a sample is the mode
    model.autoencoder.vae.load_state_dict(vae)
    text = make_state_dict(manifest('tiny_text_encoder'))
    text = {key.removeprefix('text_model.'): weight for key, weight in text.items() if 'position_ids' not in key}
    model.text_encoder.clip.load_state_dict(text)
    model.text_encoder.note_weights()
    model.unet.load_state_dict(make_state_dict(manifest('tiny_unet')))
    return model.eval()


@pytest.fixture(scope='module', params=['all', 'self'])
def kind(request):
    return request.param


@pytest.fixture(scope='module')
def model(base, kind, tmp_path_factory):
    """With the adapter of a released file, exchanged for the one before."""
    path = tmp_path_factory.mktemp(kind) / 'pytorch_lora_weights.safetensors'
    save_file(make_state_dict(manifest(f'lora_tiny_{kind}')), path)
    base.load_lora(path)
    return base


def test_network(recorded, images, model, kind):
    latents = model.networks.encode(images)
    captions, empty = model.networks.embed(CAPTIONS), model.networks.embed([''] * 2)
    assert_agrees(latents, recorded[f'tiny/{kind}/ddim/src_latents'], 'image latents')
    assert_agrees(captions, recorded[f'tiny/{kind}/text_embeds'], 'captions')
    assert_agrees(empty[:1], recorded[f'tiny/{kind}/uncond_embeds'], 'empty caption')
    with torch.no_grad():
        assert_agrees(model.networks.denoise(latents, 500, captions), recorded[f'tiny/{kind}/unet_out_t500'], 'U-Net')
        if kind == 'all':  # recorded without prompts
            assert_agrees(model.networks.denoise(latents, 1, empty), recorded['tiny/all/onepass'], 'one pass')


@pytest.mark.parametrize('sampler', ['ddim', 'oracle'])
def test_guided_run(recorded, images, model, kind, sampler):
    """Each step from the recorded one before: this random network enlarges rounding errors tenfold at each step."""
    model.process = DeterministicProcess(load_schedule(ARCH), sampler=sampler)
    name = f'tiny/{kind}/{sampler}'
    steps = list(map(torch.from_numpy, recorded[f'{name}/mid']))

    def run(predict, start, num_steps):
        before = [start, *steps]
        schedule, timesteps = model.process._schedule(num_steps)
        for step, timestep in enumerate(timesteps):
            yield model.process._step(schedule, predict(before[step], timestep), timestep, before[step], start)

    model.process.run = run
    for step, latents in enumerate(model.trace(images, CAPTIONS)):
        assert_agrees(latents, recorded[f'{name}/mid'][step], f'{name} step {step}')
    assert_agrees(model.decode(steps[-1], (64, 64))[:, 0], recorded[f'{name}/F8'], name)
    colours = TargetCodec().decode(model.autoencoder.decode(steps[-1])).mul(255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(colours - recorded[f'{name}/RGB']).max() <= 1  # what rounding makes of 1e-6


@pytest.mark.filterwarnings('ignore:for .* copying from a non-meta parameter')
@pytest.mark.parametrize(('kind', 'num_trained'), [('all', 797184), ('self_attn_only', 399360)])
def test_released_files_fit_stable_diffusion(tmp_path, kind, num_trained):
    save_file(make_state_dict(manifest(f'lora_sd14_{kind}')), tmp_path / 'pytorch_lora_weights.safetensors')
    with torch.device('meta'):
        unet = build_unet('sd1-4')
    unet.requires_grad_(False)
    load_lora(unet, tmp_path)
    assert sum(weight.numel() for weight in unet.parameters() if weight.requires_grad) == num_trained
