import json

import cv2
import make_images
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
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


@pytest.mark.parametrize('threshold', [-1, 1])
def test_what_the_safety_checker_blackens_is_left_out(tmp_path, arguments, capsys, threshold):
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    vision = dict(sizes, image_size=8, patch_size=4)
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=sizes, projection_dim=4))
    for name in ('concept', 'special_care'):
        torch.nn.init.constant_(getattr(checker, f'{name}_embeds_weights'), threshold)  # -1: all; 1: nothing
    extractor = CLIPImageProcessor(size=dict(shortest_edge=8), crop_size=dict(height=8, width=8))
    pipeline = StableDiffusionPipeline.from_pretrained(
        arch_folder('tiny-sd'), safety_checker=checker, feature_extractor=extractor
    )
    pipeline.save_pretrained(tmp_path / 'safe')
    status = make_images.main([*arguments, '--model', str(tmp_path / 'safe')])
    if threshold == 1:
        assert status == 0 and len(read(tmp_path)) == 3
        return
    assert status == 1 and 'safety checker' in capsys.readouterr().err
    assert not read(tmp_path)


def test_settings_are_noted(tmp_path, arguments):
    make_images.main(arguments)
    noted = json.loads((tmp_path / 'out/make_images.json').read_text())
    assert noted['size'] == [32, 48] and noted['model'] == 'tiny-sd' and 'batch_size' not in noted


def test_saved_latents_decode_to_the_images(tmp_path, arguments):
    assert make_images.main([*arguments, '--save-latents', str(tmp_path / 'latents')]) == 0
    files = sorted((tmp_path / 'latents').iterdir())
    assert [file.name for file in files] == ['000000.npz', '000001.npz', '000002.npz']
    latents = torch.tensor(np.stack([np.load(file)['x'] for file in files]))
    assert latents.shape == (3, 4, 4, 6)
    vae = StableDiffusionPipeline.from_pretrained(arch_folder('tiny-sd'), safety_checker=None).vae
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    colours = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(colours, np.stack(read(tmp_path))[..., ::-1], atol=1)
