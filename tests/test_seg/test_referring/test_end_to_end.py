"""Referring segmentation from training to test through the scripts of ``mim train mmseg`` and ``mim test mmseg``."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from host_scripts import read_log, run, train
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from tiny_refer import write_checkpoint, write_config

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.weights.architectures import build_text_encoder
from mmdiffperc.weights.loading import load_weights

ITERATIONS = 3
MEASURES = {'oIoU', 'mIoU', *(f'precision@0.{digit}' for digit in range(5, 10))}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config, and the checkpoint of its training."""
    folder = tmp_path_factory.mktemp('refer')
    config = write_config(folder)
    train('mmseg', config, folder / 'work', ITERATIONS)
    return config, folder / 'work' / f'iter_{ITERATIONS}.pth'


@pytest.fixture(scope='module')
def log(trained):
    return read_log(trained[1].parent)


def test_training_is_logged(log):
    *training, validation = log
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert set(validation) >= MEASURES and all(0 <= validation[name] <= 100 for name in MEASURES)


def test_checkpoint_is_finite_and_holds_the_text_encoder(trained):
    checkpoint = load_file(trained[1])
    weights = checkpoint['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())
    expected = build_text_encoder('tiny-sd')
    load_weights('tiny-sd', text_encoder=expected)
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(weights[f'backbone.prompts.text_encoder.clip.{name}'], weight, rtol=0, atol=0)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('background', 'referred object')


def run_test(config, checkpoint, work_dir, *options, flags=()):
    # The checkpoint is all that is needed.
    options = ['model.backbone.init_cfg=None', 'model.backbone.prompts.checkpoint=None', *options]
    run('mmseg', 'test.py', config, checkpoint, '--work-dir', work_dir, *flags, '--cfg-options', *options)
    return json.loads(next(work_dir.glob('*/*.json')).read_text())


def test_checkpoint_is_tested(trained, log, tmp_path):
    found = run_test(*trained, tmp_path)
    for name in MEASURES:
        assert found[name] == pytest.approx(log[-1][name], rel=1e-5)


def test_shuffled_sentences_count(trained, tmp_path):
    """With a head at random values: after three iterations the masks are empty whatever the sentence."""
    config, checkpoint = trained[0], write_checkpoint(trained[0], tmp_path / 'random.pth')
    own = run_test(config, checkpoint, tmp_path / 'own')
    other = run_test(config, checkpoint, tmp_path / 'other', 'test_dataloader.dataset.shuffle_seed=0')
    assert set(own) == set(other) >= MEASURES
    assert other['mIoU'] != own['mIoU']


def test_masks_are_written(trained, tmp_path):
    flags = ['--out', tmp_path / 'out', '--show-dir', tmp_path / 'pictures']
    found = run_test(*trained, tmp_path / 'work', 'default_hooks.visualization.interval=1', flags=flags)
    init_default_scope('mmseg')
    dataset = DATASETS.build(Config.fromfile(trained[0]).test_dataloader.dataset)
    ious = []
    for packed in dataset:
        sample = packed['data_samples']
        name = f'{Path(sample.img_path).stem}_{sample.ref_id}_{sample.sentence_number}.png'
        mask, truth = cv2.imread(str(tmp_path / 'out' / name), -1) == 255, sample.gt_sem_seg.data[0].numpy() == 1
        ious.append((mask & truth).sum() / max(1, (mask | truth).sum()))
    assert len(list((tmp_path / 'out').iterdir())) == len(dataset)
    assert len(list((tmp_path / 'pictures').rglob('*.png'))) >= 1
    assert 100 * np.mean(ious) == pytest.approx(found['mIoU'], rel=1e-5)
