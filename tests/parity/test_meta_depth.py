"""Depth of the official MetaPrompts, from its checkpoint through the converter and the shipped configs."""

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

FOLDER = Path(__file__).parent / 'meta_depth'
FULL = FOLDER / 'manifest_sd1-5.json.gz'
CONFIGS = {
    data: Path(__file__).parents[2] / 'configs' / 'metaprompts' / f'metaprompts_sd1-5_8xb3-25e_{data}.py'
    for data in ('nyu-480x480', 'kitti-352x352')
}


@torch.no_grad()
def depth_of(model, images):
    size = images.shape[-2:]
    return model.encode_decode(images * 2 - 1, [dict(ori_shape=size, img_shape=size)] * len(images))


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory, load_official):
    """The shipped config at the width and with the two passes of the recording, with the converted checkpoint."""
    folder = tmp_path_factory.mktemp('meta_depth')
    config = Config.fromfile(CONFIGS['nyu-480x480'])
    config.model.backbone.update(arch=write_arch(folder / 'arch', 'parity'), num_refine_steps=2)
    config.model.neck.in_channels = [32, 64, 128, 128]
    config.dump(folder / 'tiny.py')
    official = dict(model=make_state_dict(str(FOLDER / 'manifest.json')))
    return load_official(official, folder, folder / 'tiny.py')


@pytest.fixture(scope='module')
def images():
    return make_image('tiny_mdepth_img', (2, 3, 96, 128), 0, 1)


@pytest.fixture(scope='module')
def recorded():
    return np.load(FOLDER / 'outputs.npz')['pred_d']


def test_depth(tiny_model, images, recorded):
    """96 x 128 pixels, enlarged to 128 x 192."""
    assert_agrees(depth_of(tiny_model, images), recorded, 'pred_d')


def test_the_distance_tells_another_enlargement(tiny_model, images, recorded):
    tiny_model.decode_head.extra_cells = 2
    depth = depth_of(tiny_model, images)
    tiny_model.decode_head.extra_cells = 1
    with pytest.raises(AssertionError, match='relative L2'):
        assert_agrees(depth, recorded, 'pred_d')


@pytest.mark.parametrize('data', CONFIGS)
def test_the_official_checkpoint_fits_the_shipped_config(data):
    assert_fits(read_manifest(FULL), Config.fromfile(CONFIGS[data]))


FULL_RUNS = {
    'nyu-480x480': ('r3', ('depth_img', (2, 3, 96, 128), 0, 1)),
    'kitti-352x352': ('r3_scale2', ('depth_img_kitti', (1, 3, 64, 96), 0, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize('data', CONFIGS)
def test_full_width(tmp_path, load_official, data):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_META_DEPTH`` names the recording to compare with, if there is one."""
    model = load_official(dict(model=make_state_dict(read_manifest(FULL))), tmp_path, CONFIGS[data])
    run, image = FULL_RUNS[data]
    depth = depth_of(model, make_image(*image))
    assert torch.isfinite(depth).all() and 0 <= depth.min() < depth.max() <= model.decode_head.max_depth
    if recording := os.environ.get('MMDIFFPERC_PARITY_META_DEPTH'):
        assert_agrees(depth, np.load(recording)[f'{run}/pred_d'], f'{run}/pred_d')
