"""Referring segmentation of the official code, from its checkpoint through the converter and the shipped config."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_arch import write_arch

from .agreement import assert_agrees
from .detweights import make_image, make_input, make_state_dict
from .official import assert_fits, read_manifest

FOLDER = Path(__file__).parent / 'vpd_refer'
FULL = FOLDER / 'manifest_sd1-5.json.gz'
CONFIG = Path(__file__).parents[2] / 'configs' / 'vpd' / 'vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py'
NUM_TOKENS = 11


@torch.no_grad()
def logits_of(model, images, states):
    """From the hidden states of the tokens, as recorded."""
    features = model.extract_feat((images, states))
    return model.decode_head.predict(features, [dict(img_shape=images.shape[2:])] * len(images), model.test_cfg)


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory, load_official):
    """The shipped config at the width of the recording, with the converted checkpoint."""
    folder = tmp_path_factory.mktemp('vpd_refer')
    config = Config.fromfile(CONFIG)
    config.model.backbone.arch = write_arch(folder / 'arch', 'parity')
    config.model.backbone.prompts.max_length = NUM_TOKENS
    config.model.decode_head.update(in_channels=[32, 64 + NUM_TOKENS, 128 + NUM_TOKENS, 128], channels=64)
    config.dump(folder / 'tiny.py')
    official = dict(model=make_state_dict(str(FOLDER / 'manifest.json')), optimizer={}, epoch=0, lr_scheduler={})
    return load_official(official, folder, folder / 'tiny.py')


@pytest.fixture(scope='module')
def inputs():
    """Images and the hidden states of 11 tokens each."""
    return make_image('tiny_refer_img', (2, 3, 128, 128)), make_input('tiny_l_feats', (2, NUM_TOKENS, 768), 'unit')


@pytest.fixture(scope='module')
def recorded():
    return np.load(FOLDER / 'outputs.npz')['logits']


def test_logits(tiny_model, inputs, recorded):
    assert_agrees(logits_of(tiny_model, *inputs), recorded, 'logits')


def test_each_image_has_its_own_sentence(tiny_model, inputs, recorded):
    images, states = inputs
    assert_agrees(logits_of(tiny_model, images[1:], states[1:]), recorded[1:], 'logits')
    with pytest.raises(AssertionError, match='relative L2'):
        assert_agrees(logits_of(tiny_model, images, states.flip(0)), recorded, 'logits')


def test_the_official_checkpoint_fits_the_shipped_config():
    assert_fits(read_manifest(FULL), Config.fromfile(CONFIG))


@pytest.mark.slow
def test_full_width(tmp_path, load_official):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_REFER`` names the recording to compare with, if there is one."""
    model = load_official(dict(model=make_state_dict(read_manifest(FULL))), tmp_path, CONFIG)
    images, states = make_image('refer_img', (2, 3, 128, 128)), make_input('l_feats', (2, 40, 768), 'unit')
    logits = logits_of(model, images, states)
    assert logits.shape == (2, 2, 128, 128) and torch.isfinite(logits).all()
    if recording := os.environ.get('MMDIFFPERC_PARITY_REFER'):
        assert_agrees(logits, np.load(recording)['logits'], 'logits')
