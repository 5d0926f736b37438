"""The official process of DMP, with a formula in place of the U-Net."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiffperc.generative import DeterministicProcess, TargetCodec
from mmdiffperc.generative.deterministic_process import PREDICTION_TYPES
from mmdiffperc.weights.noise_schedule import load_schedule

from .agreement import assert_agrees
from .detweights import make_input

FOLDER = Path(__file__).parent / 'dmp'
LOSSES = json.loads((FOLDER / 'meta.json').read_text())['train_losses']
TOLERANCE = 1e-6
FACTOR = 0.18215
TIMESTEPS = torch.tensor([0, 1, 250, 500, 750, 999])
CONTEXTS = dict(notext=0.0, text=0.5)  # means of the prompts' hidden states


@pytest.fixture(scope='module')
def recorded():
    return np.load(FOLDER / 'outputs.npz')


@pytest.fixture(scope='module')
def pair():
    return [make_input(name, (6, 4, 8, 8), 'unit') * FACTOR for name in ('dmp_src', 'dmp_trg')]


def make_process(*arguments, **options):
    return DeterministicProcess(load_schedule(FOLDER / 'tiny_pipeline'), *arguments, **options)


def stand_in(latents, timesteps, context):
    timesteps = torch.as_tensor(timesteps).reshape(-1, 1, 1, 1)
    return torch.tanh(0.7 * latents + timesteps / 1000 + context)


def guided(latents, timestep):
    told, untold = (stand_in(latents, timestep, CONTEXTS[name]) for name in ('text', 'notext'))
    return untold + 2 * (told - untold)


PREDICT = dict(notext=lambda latents, timestep: stand_in(latents, timestep, 0.0), cfg2=guided)


@pytest.mark.parametrize('prediction_type', PREDICTION_TYPES)
def test_mixture_and_target(recorded, pair, prediction_type):
    process = make_process(prediction_type)
    mixed = process.mix(*pair, TIMESTEPS)
    expected = process.expected(*pair, TIMESTEPS)
    assert_agrees(mixed, recorded['train/noisy'], 'mixture', TOLERANCE)
    assert_agrees(expected, recorded[f'train/{prediction_type}/target'], 'target', TOLERANCE)
    assert_agrees(process.scheduler.alphas_cumprod, recorded['train/alphas_cumprod'], 'alphas', TOLERANCE)


@pytest.mark.parametrize('prediction_type', PREDICTION_TYPES)
@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('plain', dict()),
        ('gamma5/intended', dict(snr_gamma=5)),
        ('trunc1/intended', dict(snr_trunc=1)),
        ('trunc1_gamma5/intended', dict(snr_gamma=5, snr_trunc=1)),
    ],
)
def test_loss(pair, prediction_type, name, options):
    """Where the official code raises or misspells ``v_prediction``, what it means to compute."""
    process = make_process(prediction_type, **options)
    prediction = stand_in(process.mix(*pair, TIMESTEPS), TIMESTEPS, CONTEXTS['text'])
    valid = torch.ones_like(prediction[:, :1], dtype=torch.bool)
    loss = process.loss(prediction, process.expected(*pair, TIMESTEPS), TIMESTEPS, valid)
    assert loss.item() == pytest.approx(LOSSES[f'{prediction_type}/{name}'], rel=TOLERANCE)


@pytest.mark.parametrize('prediction_type', PREDICTION_TYPES)
@pytest.mark.parametrize('sampler', ['ddim', 'oracle'])
@pytest.mark.parametrize(('guidance', 'num_steps'), [('notext', 1), ('notext', 3), ('notext', 5), ('cfg2', 5)])
def test_trajectory(recorded, prediction_type, sampler, guidance, num_steps):
    process = make_process(prediction_type, sampler)
    name = f'infer/{prediction_type}/{sampler}/{guidance}/n{num_steps}'
    images = torch.from_numpy(recorded['infer/src_latents'])
    assert process.timesteps(num_steps) == recorded[f'{name}/timesteps'].tolist()
    for step, latents in enumerate(process.run(PREDICT[guidance], images, num_steps)):
        assert_agrees(latents, recorded[f'{name}/mid'][step], f'{name} step {step}', TOLERANCE)
    assert step == num_steps - 1


@pytest.mark.parametrize('name', ['notext', 'text'])
def test_one_pass(recorded, name):
    process = make_process('sample', 'one_pass')
    images = torch.from_numpy(recorded['infer/src_latents'])
    (latents,) = process.run(lambda x, timestep: stand_in(x, timestep, CONTEXTS[name]), images, 5)
    assert_agrees(latents, recorded[f'onepass/{name}'], name, TOLERANCE)


def test_targets_of_a_generated_image(recorded):
    process = make_process()
    images = torch.from_numpy(recorded['generate/src_latents'])
    for step, latents in enumerate(process.run(guided, images, 5)):
        assert_agrees(latents, recorded['generate/mid'][step], f'step {step}', TOLERANCE)


@pytest.mark.parametrize(('recorded_scale', 'scale'), [(1, 1.0), (8, 8.0), (-1, 'per_image')])
def test_decoding_of_one_channel(recorded, recorded_scale, scale):
    images = torch.from_numpy(recorded['decode/input']) / FACTOR
    maps = TargetCodec('F', scale).decode(images)
    assert_agrees(maps[:, 0], recorded[f'decode/F/scale{recorded_scale}/arr'], f'scale {scale}', TOLERANCE)


def test_decoding_of_colours(recorded):
    images = torch.from_numpy(recorded['decode/input']) / FACTOR
    colours = (TargetCodec().decode(images) * 255).round().byte()
    np.testing.assert_array_equal(colours.permute(0, 2, 3, 1), recorded['decode/RGB'])
