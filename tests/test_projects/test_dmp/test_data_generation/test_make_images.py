import json
import shutil

import cv2
import make_images
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

from mmdiffperc.generative import ImageTargetDataset
from mmdiffperc.weights.architectures import arch_folder

CAPTIONS = ['a red sphere', 'two boxes', 'a blue cone']


@pytest.fixture
def arguments(tmp_path):
    """Three small images of tiny-sd, two at once."""
    (tmp_path / 'captions.txt').write_text('\n'.join(CAPTIONS))
    options = ['--num-steps', '1', '--size', '32', '48', '--batch-size', '2', '--device', 'cpu']
    return [str(tmp_path / 'captions.txt'), '--out', str(tmp_path / 'out'), '--model', 'tiny-sd', *options]


def read(tmp_path):
    return [cv2.imread(str(file)) for file in sorted((tmp_path / 'out').glob('*.png'))]


def test_images_of_captions(tmp_path, arguments):
    main = make_images.main
    assert main(arguments) == 0
    images = read(tmp_path)
    assert [image.shape for image in images] == [(32, 48, 3)] * 3
    assert all((one != other).any() for one, other in zip(images, images[1:], strict=False))
    dataset = ImageTargetDataset(dict(img_path=str(tmp_path / 'out')))
    assert [info['text'] for info in dataset] == CAPTIONS

    # The same after an interruption, and in batches of another size.
    (tmp_path / 'out/metadata.jsonl').unlink()
    (tmp_path / 'out/000001.png').unlink()
    assert main([*arguments, '--batch-size', '1']) == 0
    again = read(tmp_path)
    assert (again[0] == images[0]).all() and np.abs(again[1].astype(int) - images[1]).max() <= 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()} == before


def test_other_captions_or_settings_are_refused(tmp_path, arguments, capsys):
    main = make_images.main
    main(arguments)
    assert main([*arguments, '--seed', '3']) == 1
    assert 'seed 0' in capsys.readouterr().err
    (tmp_path / 'captions.txt').write_text('a cone')
    assert main(arguments) == 1
    assert 'captions' in capsys.readouterr().err


def test_one_caption_and_several_images(tmp_path, arguments, capsys):
    """Drawn by two processes as by one: the second completes the folder."""
    _, *options = arguments
    text = ['--text', 'a red sphere', '--per-caption', '3', '--batch-size', '1']
    assert make_images.main([*options, *text]) == 0
    whole = {file.name: file.read_bytes() for file in (tmp_path / 'out').iterdir()}
    assert len(read(tmp_path)) == 3 and len(set(whole.values())) == len(whole)
    shutil.rmtree(tmp_path / 'out')
    for index in '10':
        assert not (tmp_path / 'out/metadata.jsonl').exists()
        assert make_images.main([*options, *text, '--index', index, '--world-size', '2']) == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / 'out').iterdir()} == whole
    for wrong in (options, [*arguments, *text]):
        with pytest.raises(SystemExit):
            make_images.main(wrong)
        assert '--text' in capsys.readouterr().err


@pytest.mark.parametrize(('sampler', 'scheduler'), [('ddim', DDIMScheduler), ('plms', PNDMScheduler)])
def test_sampler_keeps_the_noise_schedule_of_the_model(arguments, sampler, scheduler):
    args = make_images.parse_args([*arguments, '--sampler', sampler])
    found = make_images.load_pipeline(args).scheduler
    assert type(found) is scheduler and found.config.beta_schedule == 'scaled_linear'
    found.set_timesteps(2)  # PLMS has no Runge-Kutta steps, which need at least four
    assert found.config.get('skip_prk_steps', True)


def test_sampler_that_the_model_does_not_support(tmp_path, arguments, capsys):
    pipeline = StableDiffusionPipeline.from_pretrained(arch_folder('tiny-sd'))
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler()
    pipeline.save_pretrained(tmp_path / 'flow')
    assert make_images.main([*arguments, '--model', str(tmp_path / 'flow')]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--sampler ddim' in error and 'FlowMatchEulerDiscreteScheduler' in error and '--sampler model' in error


def test_noise_is_saved_and_read(tmp_path, arguments, capsys):
    noise, other = str(tmp_path / 'noise'), ['--out', str(tmp_path / 'other'), '--seed', '9']
    make_images.main([*arguments, '--save-noise', noise])
    files = sorted((tmp_path / 'noise').iterdir())
    assert [file.name for file in files] == ['000000.npz', '000001.npz', '000002.npz']
    assert np.load(files[0])['x'].shape == (8, 4, 6)
    images = read(tmp_path)
    assert make_images.main([*arguments, *other, '--read-noise', noise]) == 0
    for image, file in zip(images, sorted((tmp_path / 'other').glob('*.png')), strict=True):
        assert (cv2.imread(str(file)) == image).all()
    assert make_images.main([*arguments, '--out', str(tmp_path / 'plain')]) == 0  # the pipeline draws the same noise
    assert (cv2.imread(str(tmp_path / 'plain/000000.png')) == images[0]).all()

    arguments[arguments.index('--out') + 1] = str(tmp_path / 'wrong')
    assert make_images.main([*arguments, '--size', '32', '32', '--read-noise', noise]) == 1
    assert '(8, 4, 4)' in capsys.readouterr().err
    files[0].unlink()
    arguments[arguments.index('--out') + 1] = str(tmp_path / 'few')
    assert make_images.main([*arguments, '--read-noise', noise]) == 1
    assert '3 images, got 2' in capsys.readouterr().err


def safe_pipeline(folder, threshold):
    """The shipped model with a safety checker that rejects all images (-1) or none (1)."""
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    vision = dict(sizes, image_size=8, patch_size=4)
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=sizes, projection_dim=4))
    for name in ('concept', 'special_care'):
        torch.nn.init.constant_(getattr(checker, f'{name}_embeds_weights'), threshold)
    extractor = CLIPImageProcessor(size=dict(shortest_edge=8), crop_size=dict(height=8, width=8))
    pipeline = StableDiffusionPipeline.from_pretrained(
        arch_folder('tiny-sd'), safety_checker=checker, feature_extractor=extractor
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def test_accepted_images(tmp_path, arguments, capsys):
    assert make_images.main([*arguments, '--model', safe_pipeline(tmp_path / 'safe', 1)]) == 0
    assert len(read(tmp_path)) == 3 and '3 images' in capsys.readouterr().out
    assert not list((tmp_path / 'out').glob('*.blackened'))


def test_blackened_images_are_left_out_or_kept(tmp_path, arguments, capsys):
    model = ['--model', safe_pipeline(tmp_path / 'safe', -1)]
    for _ in range(2):  # the second run draws none of them again
        assert make_images.main([*arguments, *model]) == 1 and 'safety checker' in capsys.readouterr().err
    assert not read(tmp_path) and len(list((tmp_path / 'out').glob('*.blackened'))) == 3
    shutil.rmtree(tmp_path / 'out')
    assert make_images.main([*arguments, *model, '--keep-blackened']) == 0
    output = capsys.readouterr().out
    assert '3 images' in output and '3 blackened' in output
    assert [image.max() for image in read(tmp_path)] == [0, 0, 0]


def test_settings_are_noted(tmp_path, arguments):
    make_images.main(arguments)
    noted = json.loads((tmp_path / 'out/make_images.json').read_text())
    assert noted['size'] == [32, 48] and noted['model'] == 'tiny-sd' and 'batch_size' not in noted


def test_saved_latents_decode_to_the_images(tmp_path, arguments):
    assert make_images.main([*arguments, '--save-latents', str(tmp_path / 'latents')]) == 0
    files = sorted((tmp_path / 'latents').iterdir())
    assert [file.name for file in files] == ['000000.npz', '000001.npz', '000002.npz']
    latents = torch.tensor(np.stack([np.load(file)['x'] for file in files]))
    assert latents.shape == (3, 8, 4, 6)
    vae = StableDiffusionPipeline.from_pretrained(arch_folder('tiny-sd'), safety_checker=None).vae
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    colours = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(colours, np.stack(read(tmp_path))[..., ::-1], atol=1)
