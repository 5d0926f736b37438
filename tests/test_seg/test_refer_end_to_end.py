"""Referring segmentation from training to test through the scripts of ``mim train mmseg`` and ``mim test mmseg``."""

import json

import numpy as np
import pytest
import torch
from mmseg_scripts import run
from tiny_refer import write_config

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.models.stable_diffusion import build_text_encoder, load_weights

ITERATIONS = 3
MEASURES = {'oIoU', 'mIoU', *(f'precision@0.{digit}' for digit in range(5, 10))}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config, and the folder of its training."""
    folder = tmp_path_factory.mktemp('refer')
    config = write_config(folder)
    options = [f'train_cfg.max_iters={ITERATIONS}', f'train_cfg.val_interval={ITERATIONS}']
    run('train.py', config, '--work-dir', folder / 'work', '--cfg-options', *options, 'default_hooks.logger.interval=1')
    return config, folder / 'work'


@pytest.fixture(scope='module')
def log(trained):
    lines = next(trained[1].glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_training_is_logged(log):
    *training, validation = log
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert set(validation) >= MEASURES and all(0 <= validation[name] <= 100 for name in MEASURES)


def test_checkpoint_is_finite_and_holds_the_text_encoder(trained):
    checkpoint = load_file(trained[1] / f'iter_{ITERATIONS}.pth')
    weights = checkpoint['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())
    expected = build_text_encoder('tiny-sd')
    load_weights('tiny-sd', text_encoder=expected)
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(weights[f'backbone.prompts.text_encoder.clip.{name}'], weight, rtol=0, atol=0)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('background', 'referred object')


def run_test(trained, work_dir, *options):
    config, folder = trained
    # The checkpoint is all that is needed.
    options = ['model.backbone.init_cfg=None', 'model.backbone.prompts.checkpoint=None', *options]
    run('test.py', config, folder / f'iter_{ITERATIONS}.pth', '--work-dir', work_dir, '--cfg-options', *options)
    return json.loads(next(work_dir.glob('*/*.json')).read_text())


def test_checkpoint_is_tested(trained, log, tmp_path):
    found = run_test(trained, tmp_path)
    for name in MEASURES:
        assert found[name] == pytest.approx(log[-1][name], rel=1e-5)


def test_checkpoint_is_tested_with_shuffled_sentences(trained, tmp_path):
    assert set(run_test(trained, tmp_path, 'test_dataloader.dataset.shuffle_seed=0')) >= MEASURES
