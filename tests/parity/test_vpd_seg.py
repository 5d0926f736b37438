"""Features and logits of the official code, from its checkpoint through the converter and the shipped config."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.models.utils import resize
from tiny_arch import write_arch

from .agreement import assert_agrees, assert_recording_agrees
from .detweights import make_image, make_state_dict
from .official import assert_fits, read_manifest

FOLDER = Path(__file__).parent / 'vpd_seg'
FULL = FOLDER / 'manifest_sd1-5.json.gz'
NUM_CLASSES = 7


def meta_of(images, ori_shape=None):
    shape = tuple(images.shape[-2:])
    return [dict(ori_shape=ori_shape or shape, img_shape=shape, pad_shape=shape)] * len(images)


@torch.no_grad()
def outputs_of(model, images):
    outputs = {f'feat{index}': feature for index, feature in enumerate(model.backbone(images))}
    outputs['seg_logits'] = model.encode_decode(images, meta_of(images))
    return outputs


@pytest.fixture(scope='module')
def tiny_config(tmp_path_factory, shipped_config):
    """The shipped config at the width of the recording."""
    config = Config.fromfile(shipped_config)
    model = config.model
    model.backbone.arch = write_arch(tmp_path_factory.mktemp('arch') / 'arch', 'parity')
    model.backbone.prompts.classes = [f'class {index}' for index in range(NUM_CLASSES)]
    model.neck.in_channels = [32, 64 + NUM_CLASSES, 128 + NUM_CLASSES, 128]
    model.decode_head.num_classes = NUM_CLASSES
    model.test_cfg = dict(mode='whole')
    path = tmp_path_factory.mktemp('config') / 'vpd_tiny.py'
    config.dump(path)
    return path


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory, load_official, tiny_config):
    official = dict(meta={}, state_dict=make_state_dict(str(FOLDER / 'manifest.json')), optimizer={})
    return load_official(official, tmp_path_factory.mktemp('checkpoints'), tiny_config)


def test_features_and_logits(tiny_model):
    images = make_image('tiny_img', (2, 3, 128, 128))
    outputs = outputs_of(tiny_model, images)
    outputs['latents'] = tiny_model.backbone.autoencoder.encode(images)
    assert set(outputs) == set(np.load(FOLDER / 'outputs.npz').files)
    assert_recording_agrees(outputs, FOLDER / 'outputs.npz')


def test_the_distance_tells_a_difference(tiny_model):
    """Timestep 2 in place of 1."""
    recorded = np.load(FOLDER / 'outputs.npz')
    tiny_model.backbone.timestep = 2
    outputs = outputs_of(tiny_model, make_image('tiny_img', (2, 3, 128, 128)))
    tiny_model.backbone.timestep = 1
    with pytest.raises(AssertionError, match='relative L2'):
        assert_agrees(outputs['feat0'], recorded['feat0'], 'feat0')


def test_the_official_checkpoint_fits_the_shipped_config(shipped_config):
    assert_fits(read_manifest(FULL), Config.fromfile(shipped_config))


@torch.no_grad()
def full_outputs(model):
    images = make_image('img', (2, 3, 128, 128))
    outputs = {'latents': model.backbone.autoencoder.encode(images)}
    for run, batch in (('b2', images), ('b1', images[:1])):
        outputs.update({f'{run}/{name}': values for name, values in outputs_of(model, batch).items()})
    wide = make_image('img_slide', (1, 3, 128, 192))
    logits = model.inference(wide, meta_of(wide))
    outputs['slide/seg_logits'] = resize(logits, size=(120, 180), mode='bilinear', align_corners=False)
    return outputs


@pytest.mark.slow
def test_full_width(tmp_path, load_official, shipped_config):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY`` names the recording to compare with, if there is one."""
    official = dict(meta={}, state_dict=make_state_dict(read_manifest(FULL)), optimizer={})
    sliding = dict(model=dict(test_cfg=dict(crop_size=(128, 128), stride=(85, 85))))
    model = load_official(official, tmp_path, shipped_config, cfg_options=sliding)
    outputs = full_outputs(model)
    assert outputs['b2/feat1'].shape == (2, 640 + 150, 8, 8)
    assert all(torch.isfinite(values).all() for values in outputs.values())
    torch.testing.assert_close(outputs['b1/feat3'], outputs['b2/feat3'][:1], rtol=1e-3, atol=1e-3)
    if recording := os.environ.get('MMDIFFPERC_PARITY'):
        assert_recording_agrees(outputs, recording)
