"""Referring segmentation of the official code, from its checkpoint through the converter and the shipped config."""

import json
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tiny_arch import write_arch

from mmdiffperc.weights.architectures import build_text_encoder

from .agreement import assert_agrees
from .detweights import make_image, make_input, make_mask, make_state_dict
from .official import assert_fits, assert_norms_agree, official_names, read_manifest

FOLDER = Path(__file__).parent / 'vpd_refer'
FULL = FOLDER / 'manifest_sd1-5.json.gz'
CONFIG = Path(__file__).parents[2] / 'configs' / 'vpd' / 'vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py'
NUM_TOKENS = 11
CLASS_WEIGHTS = torch.tensor([0.9, 1.1])


def with_text_encoder(folder, arch):
    """Options of ``init_model``: official checkpoints hold no text encoder, and the recordings begin behind it."""
    build_text_encoder(arch).half().save_pretrained(folder / 'text_encoder')
    return dict(cfg_options={'model.backbone.prompts.checkpoint': str(folder)})


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
    text_encoder = folder / 'arch' / 'text_encoder' / 'config.json'
    text_encoder.write_text(json.dumps(json.loads(text_encoder.read_text()) | dict(vocab_size=9)))  # it is never used
    config.model.backbone.prompts.max_length = NUM_TOKENS
    config.model.decode_head.update(in_channels=[32, 64 + NUM_TOKENS, 128 + NUM_TOKENS, 128], channels=64)
    config.dump(folder / 'tiny.py')
    official = dict(model=make_state_dict(str(FOLDER / 'manifest.json')), optimizer={}, epoch=0, lr_scheduler={})
    options = with_text_encoder(folder, config.model.backbone.arch)
    return load_official(official, folder, folder / 'tiny.py', **options)


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


def make_target():
    """The true masks, ``(2, 128, 128)`` of 0 and 1."""
    return torch.as_tensor(make_mask('refer_target', (2, 128, 128), 0.3)).long()


def step(model, images, states):
    """The loss of one training step, whose gradients are left in the model."""
    model.train().zero_grad()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target[None])) for target in make_target()]
    loss = model.decode_head.loss(model.extract_feat((images, states)), samples, None)['loss_ce']
    loss.backward()
    return loss.detach()


def official_loss(features, weights, running):
    """LAVT's decoder and VPD's loss, written out; the batch's statistics go into the running ones."""
    *skips, fused = features
    for level, skip in zip('432', reversed(skips), strict=True):
        fused = F.interpolate(fused, skip.shape[2:], mode='bilinear', align_corners=True)
        fused = torch.cat([fused, skip], dim=1)
        for number in '12':
            norm = f'classifier.bn{number}_{level}'
            fused = F.conv2d(fused, weights[f'classifier.conv{number}_{level}.weight'], padding=1)
            statistics = running[f'{norm}.running_mean'], running[f'{norm}.running_var']
            fused = F.batch_norm(fused, *statistics, weights[f'{norm}.weight'], weights[f'{norm}.bias'], training=True)
            fused = fused.relu()
    logits = F.conv2d(fused, weights['classifier.conv1_1.weight'], weights['classifier.conv1_1.bias'])
    logits = F.interpolate(logits, (128, 128), mode='bilinear', align_corners=True)
    picked = logits.log_softmax(1).gather(1, make_target()[:, None])[:, 0]
    weight = CLASS_WEIGHTS[make_target()]
    return -(weight * picked).sum() / weight.sum()


def test_gradients_of_a_training_step(tiny_model, inputs):
    """All of them, and the statistics of the head, by the formula of the official head on the same features."""
    model = revert_sync_batchnorm(deepcopy(tiny_model)).train()
    manifest = json.loads((FOLDER / 'manifest.json').read_text())
    official = make_state_dict(manifest)
    weights = {key: value.requires_grad_() for key, value in official.items() if value.dtype.is_floating_point}
    running = {key: value.detach().clone() for key, value in official.items() if 'running' in key}
    features = model.extract_feat(inputs)
    expected_loss = official_loss(features, weights, running)
    expected_loss.backward()
    expected = {name: weight.grad for name, weight in model.backbone.named_parameters(prefix='backbone')}
    loss = step(model, *inputs)
    torch.testing.assert_close(loss, expected_loss.detach())
    names = official_names(model, manifest)
    expected |= {names[key]: weight.grad for key, weight in weights.items() if key.startswith('classifier.')}
    for name, weight in model.named_parameters():
        assert (weight.grad is None) == name.startswith(('backbone.autoencoder.', 'backbone.prompts.text_')), name
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-3, atol=1e-6, msg=name)
    state = model.state_dict()
    for key, value in running.items():
        torch.testing.assert_close(state[names[key]], value)


@pytest.mark.slow
def test_gradients_at_full_width(tmp_path, load_official):
    """12 GB, some minutes. ``MMDIFFPERC_PARITY_REFER_TRAIN`` names the recording to compare with, if there is one."""
    manifest = read_manifest(FULL)
    official = dict(model=make_state_dict(manifest))
    model = revert_sync_batchnorm(load_official(official, tmp_path, CONFIG, **with_text_encoder(tmp_path, 'sd1-5')))
    loss = step(model, make_image('refer_img', (2, 3, 128, 128)), make_input('l_feats', (2, 40, 768), 'unit'))
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert torch.isfinite(loss) and all(torch.isfinite(weight.grad).all() for weight in trained.values())
    if recording := os.environ.get('MMDIFFPERC_PARITY_REFER_TRAIN'):
        recorded = json.loads(Path(recording).read_text())
        assert loss.item() == pytest.approx(recorded['loss'], rel=1e-5)
        assert_norms_agree(model, manifest, recorded)


@pytest.mark.slow
def test_full_width(tmp_path, load_official):
    """8 GB, a few minutes. ``MMDIFFPERC_PARITY_REFER`` names the recording to compare with, if there is one."""
    official = dict(model=make_state_dict(read_manifest(FULL)))
    model = load_official(official, tmp_path, CONFIG, **with_text_encoder(tmp_path, 'sd1-5'))
    images, states = make_image('refer_img', (2, 3, 128, 128)), make_input('l_feats', (2, 40, 768), 'unit')
    logits = logits_of(model, images, states)
    assert logits.shape == (2, 2, 128, 128) and torch.isfinite(logits).all()
    if recording := os.environ.get('MMDIFFPERC_PARITY_REFER'):
        assert_agrees(logits, np.load(recording)['logits'], 'logits')
