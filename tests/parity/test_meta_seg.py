"""Features and logits of the official MetaPrompts, from its checkpoint through the converter and the shipped config."""

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_arch import write_arch

from .agreement import assert_agrees, assert_recording_agrees, read_strides
from .detweights import make_image, make_state_dict
from .official import assert_fits, read_manifest

FOLDER = Path(__file__).parent / 'meta_seg'
CONFIG = Path(__file__).parents[2] / 'configs' / 'metaprompts' / 'metaprompts_sd1-5-upernet_8xb1-80k_ade20k-512x512.py'
IMAGES = {'sq': ('tiny_meta_sq', (2, 3, 128, 128)), 'wide': ('tiny_meta_wide', (1, 3, 64, 192))}

# In so narrow a network each pass makes rounding errors three times as large: in single precision the outputs of the
# three are 6e-6, 2e-5 and 7e-5 from those in double precision. The recording, in single precision too, is 4e-5 to 6e-5
# from double precision. At full width TOLERANCE holds.
SINGLE, DOUBLE = 1e-4, 7e-5


def config_of(num_refine_steps, num_prompts, num_classes):
    """The shipped config with the numbers of the recording."""
    config = Config.fromfile(CONFIG)
    model = config.model
    model.backbone.num_refine_steps = num_refine_steps
    model.backbone.prompts.num_prompts = model.neck.num_prompts = num_prompts
    model.decode_head.update(in_channels=[num_prompts] * 4, num_classes=num_classes)
    model.auxiliary_head.update(in_channels=num_prompts, num_classes=num_classes)
    return config


@torch.no_grad()
def outputs_of(model, images):
    features = model.extract_feat(images)
    size = images.shape[-2:]
    logits = model.encode_decode(images, [dict(ori_shape=size, img_shape=size, pad_shape=size)] * len(images))
    return {**{f'feat{index}': feature for index, feature in enumerate(features)}, 'seg_logits': logits}


@pytest.fixture(scope='module')
def build_tiny(tmp_path_factory, load_official):
    """Build a model of so many passes from the official weights that such a model has."""
    folder = tmp_path_factory.mktemp('meta_seg')
    arch = write_arch(folder / 'arch', 'parity')

    def build(num_refine_steps):
        config = config_of(num_refine_steps, num_prompts=5, num_classes=6)
        config.model.backbone.arch = arch
        config.model.neck.in_channels = [32, 64, 128, 128]
        config.model.decode_head.channels = config.model.auxiliary_head.channels = 32
        config.dump(folder / 'tiny.py')
        weights = make_state_dict(str(FOLDER / 'manifest.json'))
        for absent in range(num_refine_steps + 1, 4):
            names = (f't{absent}', f'cross_unet_conv{absent}.')
            weights = {key: weight for key, weight in weights.items() if not key.startswith(names)}
        return load_official(dict(meta={}, state_dict=weights, optimizer={}), folder, folder / 'tiny.py')

    return build


@pytest.fixture(scope='module')
def tiny_model(build_tiny):
    return build_tiny(3)


@pytest.mark.parametrize('tolerance', [SINGLE, DOUBLE])
@pytest.mark.parametrize('name', IMAGES)
def test_features_and_logits(tiny_model, name, tolerance):
    recorded, strides = np.load(FOLDER / 'outputs.npz'), read_strides(FOLDER / 'outputs.npz')
    model, images = copy.deepcopy(tiny_model), make_image(*IMAGES[name])
    outputs = outputs_of(model.double(), images.double()) if tolerance == DOUBLE else outputs_of(model, images)
    assert {f'{name}/{output}' for output in outputs} == {key for key in recorded.files if key.startswith(name)}
    for output, values in outputs.items():
        key = f'{name}/{output}'
        assert_agrees(values, recorded[key], key, tolerance, strides.get(key))


def test_one_pass_is_the_first_of_three(build_tiny, tiny_model):
    images = make_image(*IMAGES['wide'])
    tiny_model.backbone.num_refine_steps = 1
    expected = outputs_of(tiny_model, images)
    tiny_model.backbone.num_refine_steps = 3
    for output, values in outputs_of(build_tiny(1), images).items():
        assert_agrees(values, expected[output].numpy(), output)


def test_the_distance_tells_a_pass_less(tiny_model):
    recorded = np.load(FOLDER / 'outputs.npz')
    tiny_model.backbone.num_refine_steps = 2
    outputs = outputs_of(tiny_model, make_image(*IMAGES['wide']))
    tiny_model.backbone.num_refine_steps = 3
    with pytest.raises(AssertionError, match='relative L2'):
        assert_agrees(outputs['feat0'], recorded['wide/feat0'], 'feat0', SINGLE)


def full_manifest(num_refine_steps):
    return read_manifest(FOLDER / f'manifest_sd1-5_{num_refine_steps}pass.json.gz')


@pytest.mark.parametrize('num_refine_steps', [1, 3])
def test_the_official_checkpoint_fits_the_shipped_config(num_refine_steps):
    assert_fits(full_manifest(num_refine_steps), config_of(num_refine_steps, num_prompts=19, num_classes=19))


FULL_RUNS = {
    3: {
        'r3_b2': ('img', (2, 3, 128, 128)),
        'r3_128x192': ('img_nonsquare', (1, 3, 128, 192)),
        'r3_160x128': ('img_mismatch', (1, 3, 160, 128)),
    },
    1: {'r1_b2': ('img', (2, 3, 128, 128))},
}


@pytest.mark.slow
@pytest.mark.parametrize('num_refine_steps', FULL_RUNS)
def test_full_width(tmp_path, load_official, num_refine_steps):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_META_SEG`` names the recording to compare with, if there is one."""
    config_of(num_refine_steps, num_prompts=19, num_classes=19).dump(tmp_path / 'full.py')
    weights = make_state_dict(full_manifest(num_refine_steps))
    model = load_official(dict(meta={}, state_dict=weights, optimizer={}), tmp_path, tmp_path / 'full.py')
    outputs = {
        f'{run}/{name}': values
        for run, image in FULL_RUNS[num_refine_steps].items()
        for name, values in outputs_of(model, make_image(*image)).items()
    }
    assert all(torch.isfinite(values).all() for values in outputs.values())
    if recording := os.environ.get('MMDIFFPERC_PARITY_META_SEG'):
        assert_recording_agrees(outputs, recording)
