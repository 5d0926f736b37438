from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiffperc.generative import DeterministicDiffusion
from mmdiffperc.generative.deterministic_process import load_schedule
from mmdiffperc.generative.drawing import draw_image
from mmdiffperc.weights.architectures import arch_folder

from .conftest import TINY_SD


@pytest.fixture(scope='module')
def schedule():
    return load_schedule('tiny-sd')


@pytest.fixture(scope='module')
def model(adapters):
    model = DeterministicDiffusion('tiny-sd', guidance_scale=2.0, init_cfg=TINY_SD)
    model.init_weights()
    model.load_lora(adapters[0])
    return model.eval()


def test_draws_what_the_base_draws(model, schedule):
    """As a plain pipeline of tiny-sd; the adapter is there again afterwards."""
    images, captions = torch.rand(1, 3, 40, 56), ['a red sphere']
    before = list(model.trace(images, captions))
    drawn = draw_image(model, schedule, 'a red sphere', seed=5, num_steps=3)
    plain = StableDiffusionPipeline.from_pretrained(arch_folder('tiny-sd'), scheduler=schedule).to(torch.float)
    plain.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(5)
    expected = plain('a red sphere', num_inference_steps=3, generator=generator, output_type='np').images[0]
    assert drawn.shape == (128, 128, 3) and drawn.dtype == np.uint8 and drawn.std() > 10
    np.testing.assert_allclose(drawn, expected * 255, atol=1.5)
    after = list(model.trace(images, captions))
    torch.testing.assert_close(after, before)


def test_another_seed_is_another_image(model, schedule):
    first, second = (draw_image(model, schedule, 'a box', seed, num_steps=1) for seed in (0, 1))
    assert np.abs(first.astype(int) - second).mean() > 2


def test_model_predicts_while_it_draws(model, schedule):
    """Another thread's predictions have the adapter, since drawing does not switch it off."""
    images, captions = torch.rand(1, 3, 40, 56), ['a red sphere']
    before = model.estimate(images, captions, num_steps=1)
    with ThreadPoolExecutor(1) as thread:
        drawing = thread.submit(draw_image, model, schedule, 'a box', num_steps=3)
        while not drawing.done():
            torch.testing.assert_close(model.estimate(images, captions, num_steps=1), before)


def test_what_cannot_be_drawn(model, schedule):
    with pytest.raises(ValueError, match='empty'):
        draw_image(model, schedule, ' ')
    with pytest.raises(ValueError, match='adapter'):
        draw_image(DeterministicDiffusion('tiny-sd', lora=None), schedule, 'a box')
