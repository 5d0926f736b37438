"""Folders of published models load, and give what their pipelines give."""

import inspect
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny_published import (
    E2E_FT,
    GENPERCEPT,
    LOTUS_D,
    LOTUS_G,
    NOT_MARIGOLD,
    load_pipeline,
    write_configs,
    write_published,
)

from mmdiffperc.generative import OneStepDiffusion
from mmdiffperc.generative.normal_axes import AXES
from mmdiffperc.generative.published import published_settings
from mmdiffperc.registry import MODELS

SIZE = (70, 101)


def load_model(folder, **options):
    model = OneStepDiffusion(**published_settings(folder) | options)
    model.init_weights()
    return model.eval()


@pytest.fixture(scope='module', params=['depth', 'normals'])
def marigold(request, tmp_path_factory):
    """A folder, the model from it, and its pipeline in diffusers."""
    folder = write_published(tmp_path_factory.mktemp('marigold') / request.param, request.param)
    return folder, load_model(folder), load_pipeline(folder, request.param)


@pytest.mark.parametrize(
    ('number', 'num_steps', 'ensemble_size', 'processing_res'),
    [(1, 1, 1, 64), (2, 2, 1, 48), (1, 3, 3, 48), (1, 1, 2, 0)],
)
def test_marigold_predicts_as_in_diffusers(marigold, number, num_steps, ensemble_size, processing_res):
    _, model, pipeline = marigold
    model.processing_res = processing_res
    images = torch.rand(number, 3, *SIZE)
    expected = pipeline(
        images,
        num_steps,
        ensemble_size,
        processing_res,
        batch_size=number,
        generator=[image for image in seeded(number) for _ in range(ensemble_size)],
        output_type='pt',
        output_latent=True,
    )
    found = model.estimate(images * 2 - 1, None, num_steps, ensemble_size=ensemble_size, seed=7)
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected.prediction, atol=1e-5, rtol=0)
    if ensemble_size == 1:
        *_, latents = model.trace(images * 2 - 1, None, num_steps, seed=7)
        torch.testing.assert_close(latents, expected.latent, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.decode(latents, SIZE), found)


def seeded(number):
    return [torch.Generator().manual_seed(7) for _ in range(number)]


def test_folders_keep_their_schedule(marigold):
    """Even if it makes no sense in a single step."""
    folder, model, pipeline = marigold
    images = torch.rand(1, 3, 24, 32)
    schedule = dict(timestep_spacing='leading', rescale_betas_zero_snr=False, set_alpha_to_one=True)
    other = OneStepDiffusion(**published_settings(folder) | dict(scheduler=schedule), networks=model.networks).eval()
    assert other.timesteps(1) == [1] and model.timesteps(1) == [999]
    trailing = pipeline.scheduler
    pipeline.scheduler = type(trailing).from_config(trailing.config, **schedule)
    expected = pipeline(images, generator=seeded(1), output_type='pt').prediction
    pipeline.scheduler = trailing
    torch.testing.assert_close(other.estimate(images * 2 - 1, seed=7), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('marigold', ['normals'], indirect=True)
def test_a_half_range_of_z(marigold):
    """As in the first Marigold of normals."""
    folder, model, pipeline = marigold
    images = torch.rand(1, 3, 24, 32)
    pipeline.use_full_z_range = False
    expected = pipeline(images, generator=seeded(1), output_type='pt').prediction
    pipeline.use_full_z_range = True
    half = OneStepDiffusion(**published_settings(folder) | dict(full_z_range=False), networks=model.networks)
    torch.testing.assert_close(half.estimate(images * 2 - 1, seed=7), expected, atol=1e-5, rtol=0)


def test_genpercept_returns_the_negative_prediction(tmp_path):
    settings = {name: GENPERCEPT[name] for name in ('unet', 'scheduler')}
    folder = Path(write_published(tmp_path / 'genpercept-depth', **settings))
    write_configs(tmp_path / 'other', **GENPERCEPT)
    (tmp_path / 'other' / 'model_index.json').replace(folder / 'model_index.json')
    model = load_model(folder, processing_res=0)
    images = torch.rand(1, 3, 16, 24) * 2 - 1
    encoded = model.networks.encode(images)
    with torch.no_grad():
        predicted = model.networks.denoise(encoded, 1, model._embed(None, 1))
    (latents,) = model.trace(images)
    torch.testing.assert_close(latents, -predicted)


@pytest.mark.parametrize(
    ('name', 'changes', 'expected'),
    [
        ('marigold', {}, dict(target_input='noise', num_steps=2, processing_res=64, last_latents='previous')),
        ('marigold-e2e-ft', {}, dict(target_input='zeros', scheduler=dict(timestep_spacing='trailing'))),
        ('sd-e2e-ft-depth', E2E_FT, dict(target_input='zeros', prediction_type='v_prediction')),
        ('lotus-depth-d', LOTUS_D, dict(prediction_type='sample', timestep=999, sample_latents=True)),
        ('lotus-depth-g', LOTUS_G, dict(target_input='noise', task_embedding=(1, 0))),
        ('lotus-d-disparity', LOTUS_D, dict(target_transform='disparity')),
        ('genpercept-depth', GENPERCEPT, dict(timestep=1, prediction_type='v_prediction')),
    ],
)
def test_recognised_by_channels_and_schedule(tmp_path, name, changes, expected):
    settings = published_settings(write_configs(tmp_path / name, **changes))
    assert settings.items() >= dict(expected, num_tokens=2, target_mode='F', target_scale='quantiles').items()


@pytest.mark.parametrize(
    ('changes', 'axes'),
    [
        (dict(prediction_type='normals', use_full_z_range=False), ('Marigold', False)),
        (E2E_FT, ('E2E-FT', True)),
        (LOTUS_D, ('Lotus', True)),
    ],
)
def test_axes_of_normals(tmp_path, changes, axes):
    settings = published_settings(write_configs(tmp_path / 'normals', **changes))
    assert settings['target_mode'] == 'normals'
    assert (settings['target_axes'], settings['full_z_range']) == axes


def test_modality(tmp_path):
    folder = write_configs(tmp_path / 'lotus-disparity', **LOTUS_D)
    assert 'target_transform' not in published_settings(folder, 'depth')
    snapshot = write_configs(tmp_path / 'normals/models--lotus-depth-d/snapshots/abc', **LOTUS_D)
    assert published_settings(snapshot)['target_mode'] == 'F'  # as the nearest folder says
    with pytest.raises(ValueError, match='modality'):
        published_settings(folder.rename(tmp_path / 'lotus'))
    with pytest.raises(ValueError, match='depth.*normals'):
        published_settings(write_configs(tmp_path / 'marigold'), 'normals')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(unet=dict(in_channels=12, out_channels=8)), 'intrinsic decomposition'),
        (dict(unet=dict(in_channels=9)), 'in_channels=9'),
        (dict(unet=dict(in_channels=4), **NOT_MARIGOLD), 'in_channels=4'),
        (dict(scale_invariant=True, shift_invariant=False), 'shift_invariant=False'),
        (dict(scheduler=dict(_class_name='LCMScheduler')), 'LCMScheduler'),
    ],
)
def test_other_models_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        published_settings(write_configs(tmp_path / 'depth', **changes))


@pytest.mark.parametrize('marigold', ['depth'], indirect=True)
def test_weights_of_another_modality_or_width(marigold):
    folder, *_ = marigold
    options = dict(arch=folder, init_cfg=dict(type='Pretrained', checkpoint=folder))
    with pytest.raises(ValueError, match='model_index.json.*target_mode=.normals'):
        OneStepDiffusion(**options, target_mode='normals', target_input='noise').init_weights()
    with pytest.raises(ValueError, match='in_channels=8.*target_input'):
        OneStepDiffusion(**options)
    arch = Path(folder).with_name(f'arch of {Path(folder).name}')
    (arch / 'scheduler').symlink_to(Path(folder, 'scheduler'))
    with pytest.raises(ValueError, match='8 channels.*target_input'):
        OneStepDiffusion(**dict(options, arch=str(arch))).init_weights()


CONFIGS = sorted((Path(__file__).parents[2] / 'configs/one_step/published').glob('*.py'))
KINDS = {'marigold-v1-1': {}, 'e2e-ft': E2E_FT, 'lotus-d': LOTUS_D}


@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_configs_agree_with_folders(tmp_path, config):
    """A config for weights of the hub says what the folder of the same model would say."""
    model = Config.fromfile(config).model
    folder = tmp_path / model.init_cfg.checkpoint
    changes = next(changes for name, changes in KINDS.items() if config.stem.startswith(name))
    if not changes:
        modality = 'normals' if 'normals' in config.stem else 'depth'
        changes = dict(prediction_type=modality, default_denoising_steps=4, default_processing_resolution=768)
    expected = published_settings(write_configs(folder, **changes))
    defaults = inspect.signature(OneStepDiffusion.__init__).parameters
    for name in expected.keys() - {'arch', 'init_cfg', 'scheduler'}:
        found = model.get(name, defaults[name].default)
        same = [AXES.get(value, value) if name == 'target_axes' else value for value in (found, expected[name])]
        assert same[0] == same[1] or list(same[0]) == list(same[1]), name


@pytest.mark.parametrize('name', ['marigold-v1-1_depth', 'lotus-d_normals'])
def test_configs_build(name):
    config = Config.fromfile(CONFIGS[0].with_name(f'{name}.py'))
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert model.timesteps(1) == [999]
