"""Depth of the official MetaPrompts, from its checkpoint through the converter and the shipped configs."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.apis import init_model
from tiny_arch import write_arch

from mmdiffperc.models.official_checkpoints import convert, recognise

from .agreement import assert_agrees
from .detweights import make_image, make_state_dict

FOLDER = Path(__file__).parent / 'meta_depth'
CONFIGS = {
    data: Path(__file__).parents[2] / 'configs' / 'metaprompts' / f'metaprompts_sd1-5_8xb3-25e_{data}.py'
    for data in ('nyu-480x480', 'kitti-352x352')
}


@torch.no_grad()
def depth_of(model, images):
    size = images.shape[-2:]
    return model.encode_decode(images * 2 - 1, [dict(ori_shape=size, img_shape=size)] * len(images))


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory, convert_checkpoint):
    """The shipped config at the width and with the two passes of the recording, with the converted checkpoint."""
    folder = tmp_path_factory.mktemp('meta_depth')
    config = Config.fromfile(CONFIGS['nyu-480x480'])
    config.model.backbone.update(arch=write_arch(folder / 'arch', 'parity'), num_refine_steps=2)
    config.model.neck.in_channels = [32, 64, 128, 128]
    config.dump(folder / 'tiny.py')
    torch.save(dict(model=make_state_dict(str(FOLDER / 'manifest.json'))), folder / 'official.ckpt')
    convert_checkpoint(folder / 'official.ckpt', folder / 'ours.pth', '--config', folder / 'tiny.py')
    return init_model(str(folder / 'tiny.py'), str(folder / 'ours.pth'), device='cpu')


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


def full_manifest():
    return json.loads(gzip.decompress((FOLDER / 'manifest_sd1-5.json.gz').read_bytes()))


@pytest.mark.parametrize('data', CONFIGS)
def test_the_official_checkpoint_fits_the_shipped_config(data):
    """Every name and every shape at full width, without the memory."""
    config = Config.fromfile(CONFIGS[data])
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        model = MODELS.build(config.model)
        weights = {key: torch.empty(shape) for key, shape, _ in full_manifest()}
        assert set(convert(weights, recognise(weights), model)) == set(model.state_dict())


FULL_RUNS = {
    'nyu-480x480': ('r3', ('depth_img', (2, 3, 96, 128), 0, 1)),
    'kitti-352x352': ('r3_scale2', ('depth_img_kitti', (1, 3, 64, 96), 0, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize('data', CONFIGS)
def test_full_width(tmp_path, convert_checkpoint, data):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_META_DEPTH`` names the recording to compare with, if there is one."""
    torch.save(dict(model=make_state_dict(full_manifest())), tmp_path / 'official.ckpt')
    convert_checkpoint(tmp_path / 'official.ckpt', tmp_path / 'ours.pth', '--config', CONFIGS[data])
    model = init_model(str(CONFIGS[data]), str(tmp_path / 'ours.pth'), device='cpu')
    run, image = FULL_RUNS[data]
    depth = depth_of(model, make_image(*image))
    assert torch.isfinite(depth).all() and 0 <= depth.min() < depth.max() <= model.decode_head.max_depth
    if recording := os.environ.get('MMDIFFPERC_PARITY_META_DEPTH'):
        assert_agrees(depth, np.load(recording)[f'{run}/pred_d'], f'{run}/pred_d')
