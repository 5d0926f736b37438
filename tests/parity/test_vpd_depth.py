"""Depth of the official code, from its checkpoint through the converter and the shipped config."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_arch import write_arch

from .agreement import assert_agrees
from .detweights import make_image, make_state_dict
from .official import assert_fits, read_manifest

FOLDER = Path(__file__).parent / 'vpd_depth'
FULL = FOLDER / 'manifest_sd1-5.json.gz'
CONFIG = Path(__file__).parents[2] / 'configs' / 'vpd' / 'vpd_sd1-5_8xb3-25e_nyu-480x480.py'
SCENES = (3, 17)


@torch.no_grad()
def depth_of(model, images, scenes=SCENES):
    size = images.shape[-2:]
    metas = [dict(ori_shape=size, img_shape=size, category_id=scene) for scene in scenes]
    return model.encode_decode(images * 2 - 1, metas)


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory, load_official):
    """The shipped config at the width of the recording, with the converted checkpoint."""
    folder = tmp_path_factory.mktemp('vpd_depth')
    config = Config.fromfile(CONFIG)
    config.model.backbone.arch = write_arch(folder / 'arch', 'parity')
    config.model.decode_head.in_channels = [32, 64, 128, 128]
    config.dump(folder / 'tiny.py')
    official = dict(model=make_state_dict(str(FOLDER / 'manifest.json')))
    return load_official(official, folder, folder / 'tiny.py')


@pytest.fixture(scope='module')
def images():
    return make_image('tiny_depth_img', (2, 3, 352, 352), 0, 1)


@pytest.fixture(scope='module')
def recorded():
    return np.load(FOLDER / 'outputs.npz')['pred_d']


def test_depth(tiny_model, images, recorded):
    """352 pixels, padded to 384, of which the last row and column of the joined features are left out."""
    assert_agrees(depth_of(tiny_model, images), recorded, 'pred_d')


def test_the_distance_tells_another_scene(tiny_model, images, recorded):
    with pytest.raises(AssertionError, match='relative L2'):
        assert_agrees(depth_of(tiny_model, images[:1], SCENES[1:]), recorded[:1], 'pred_d')


def test_the_official_checkpoint_fits_the_shipped_config():
    assert_fits(read_manifest(FULL), Config.fromfile(CONFIG))


@pytest.mark.slow
def test_full_width(tmp_path, load_official):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_DEPTH`` names the recording to compare with, if there is one."""
    model = load_official(dict(model=make_state_dict(read_manifest(FULL))), tmp_path, CONFIG)
    images = make_image('depth_img', (2, 3, 352, 352), 0, 1)
    depth = depth_of(model, images)
    assert depth.shape == (2, 1, 352, 352) and torch.isfinite(depth).all()
    assert 0 <= depth.min() < depth.max() <= 10
    if recording := os.environ.get('MMDIFFPERC_PARITY_DEPTH'):
        assert_agrees(depth, np.load(recording)['pred_d'], 'pred_d')
