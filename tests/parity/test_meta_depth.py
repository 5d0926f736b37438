"""Depth of the official MetaPrompts, from its checkpoint through the converter and the shipped configs."""

import json
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tiny_arch import write_arch

from .agreement import assert_agrees
from .detweights import make_depth_pair, make_image, make_state_dict
from .official import assert_fits, assert_norms_agree, read_manifest

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


def loss_of(model, images):
    """The loss of one training step on true depths of the recordings."""
    height, width = images.shape[-2:]
    truth = make_depth_pair('train_gt', (2, 96, 128), 9.0)[1][:, :height, :width].to(images.dtype)
    samples = [SegDataSample(gt_depth_map=PixelData(data=depth[None])) for depth in truth]
    return model.parse_losses(model.loss(images * 2 - 1, samples))[0]


def test_gradients_of_a_training_step(tiny_model, images):
    """The loss falls along the gradient as fast as the gradient says: nothing between the passes is cut off."""
    model = revert_sync_batchnorm(deepcopy(tiny_model)).double().train()
    images = images[..., :32, :64].double()  # enlarged to 64 x 128 pixels
    loss_of(model, images).backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.grad is not None}
    assert {name for name, _ in model.named_parameters()} - set(trained) == {
        name for name, _ in model.named_parameters() if name.startswith('backbone.autoencoder.')
    }
    for part in ('backbone.unet.conv_in.', 'backbone.unet.conv_norm_out.', 'backbone.prompts.', 'neck.', 'decode'):
        weights = [weight for name, weight in trained.items() if name.startswith(part)]
        step = 1e-6 / sum(weight.grad.square().sum() for weight in weights).sqrt()
        losses = []
        with torch.no_grad():
            for sign in (1, -2):
                for weight in weights:
                    weight += sign * step * weight.grad
                losses.append(loss_of(model, images))
            for weight in weights:
                weight += step * weight.grad
        expected = 2 * step * sum(weight.grad.square().sum() for weight in weights)
        torch.testing.assert_close(losses[0] - losses[1], expected, rtol=1e-3, atol=0, msg=part)


@pytest.mark.slow
def test_gradients_at_full_width(tmp_path, load_official):
    """12 GB, some minutes. ``MMDIFFPERC_PARITY_META_DEPTH_TRAIN`` names the recording to compare with, if any."""
    config = Config.fromfile(CONFIGS['nyu-480x480'])
    config.model.backbone.num_refine_steps = 2
    config.dump(tmp_path / 'two_passes.py')
    third = ('cross_unet_conv3', 'meta_prompts3', 't3', 'text_adapter3')
    manifest = [entry for entry in read_manifest(FULL) if entry[0].split('.')[1] not in third]
    official = dict(model=make_state_dict(manifest))
    model = revert_sync_batchnorm(load_official(official, tmp_path, tmp_path / 'two_passes.py')).train()
    loss = loss_of(model, make_image('depth_img', (2, 3, 96, 128), 0, 1))
    loss.backward()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert torch.isfinite(loss) and all(torch.isfinite(weight.grad).all() for weight in trained)
    if recording := os.environ.get('MMDIFFPERC_PARITY_META_DEPTH_TRAIN'):
        recorded = json.loads(Path(recording).read_text())
        assert loss.item() == pytest.approx(recorded['loss'], rel=1e-5)
        assert_norms_agree(model, manifest, recorded)


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
