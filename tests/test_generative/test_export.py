"""The parts compute what the model does; one of them is exported."""

import shutil

import pytest
import torch
from tiny_arch import write_arch

from mmdiffperc.export import check_sizes, export_part, find_part
from mmdiffperc.generative import DeterministicDiffusion, OneStepDiffusion
from mmdiffperc.weights.architectures import arch_folder

SIZE = 24, 40


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """An architecture with a noise schedule."""
    arch = write_arch(tmp_path_factory.mktemp('small') / 'arch', 'two levels')
    shutil.copytree(arch_folder('sd1-5') / 'scheduler', f'{arch}/scheduler')
    return arch


@pytest.fixture(scope='module')
def model(small):
    torch.manual_seed(0)
    model = DeterministicDiffusion(small, num_steps=2, guidance_scale=2.0).eval()
    model.text_encoder.note_weights()
    return model


def test_the_parts_together_are_the_model(model):
    whole, *others = (find_part(model, name) for name in ('model', 'encoder', 'denoiser', 'decoder', 'text-encoder'))
    encoder, denoiser, decoder, text_encoder = (part.module for part in others)
    assert list(whole.inputs) == ['image', 'prompt_embeds']
    image, _ = whole.examples(2, SIZE)
    captions = ['a red sphere', '']
    tokenizer, *_ = model.text_encoder.tokenizers.values()
    tokens = torch.tensor([model.text_encoder._tokenize(caption, tokenizer) for caption in captions])
    with torch.no_grad():
        prompts = text_encoder(tokens)
        torch.testing.assert_close(prompts, model.networks.embed(captions))
        expected = model.estimate(image, ['a red sphere', 'a box'])
        box = model.networks.embed(['a box'])
        latents, empty = encoder(image), prompts[1:].expand(2, -1, -1)
        torch.testing.assert_close(whole.module(image, torch.cat([prompts[:1], box])), expected)

        def predict(latents, timestep):
            timesteps = torch.full((2,), timestep)
            with_caption, without = (
                denoiser(latents, timesteps, each) for each in (torch.cat([prompts[:1], box]), empty)
            )
            return without + 2 * (with_caption - without)

        *_, last = model.process.run(predict, latents, 2)
        torch.testing.assert_close(decoder(last), expected)
    assert str(model.timesteps()) in others[1].inputs['timesteps'].meaning


def test_denoiser_is_exported(model, tmp_path):
    part = find_part(model, 'denoiser')
    differences = export_part(part, tmp_path / 'denoiser.pt2', check_sizes(part, False, SIZE, 2))
    assert differences['prediction'] < 1e-4


def test_a_model_with_an_empty_prompt_takes_an_image(small):
    model = OneStepDiffusion(small, target_mode='F', use_prompts=False).eval()
    model.text_encoder.note_weights()
    part = find_part(model, 'model')
    assert list(part.inputs) == ['image'] and part.fixed == ('batch',)
    assert part.module(*part.examples(1, SIZE)).shape == (1, 1, *SIZE)
    assert 'metric' in part.outputs['target']


def test_random_numbers_are_refused(small):
    model = OneStepDiffusion(small, target_input='noise', use_prompts=False)
    with pytest.raises(ValueError, match="target_input='noise'.*'encoder', 'denoiser' and 'decoder'"):
        find_part(model, 'model')
    latents, timesteps, _ = find_part(model, 'denoiser').examples(2, SIZE)
    assert latents.shape == (2, 8, 12, 20) and timesteps.dtype == torch.int64
