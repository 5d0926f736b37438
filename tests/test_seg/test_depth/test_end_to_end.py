"""Depth from training to test through the scripts that ``mim train mmseg`` and ``mim test mmseg`` run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from host_scripts import read_log, run, train
from mmengine.config import Config
from tiny_depth import write_config

from mmdiffperc.compat.checkpoint import load_file

ITERATIONS = 3


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config, and the folder of its training; one training image has no depth at all."""
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    empty = sorted((folder / 'toy/nyu/annotations/train').iterdir())[0]
    cv2.imwrite(str(empty), np.zeros((64, 96), np.uint16))
    train('mmseg', config, folder / 'work', ITERATIONS, 'train_dataloader.batch_size=4')
    return config, folder / 'work'


@pytest.fixture(scope='module')
def log(trained):
    return read_log(trained[1])


def test_training_is_logged(log):
    *training, validation = log
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert [line['decode.maps_without_depth'] for line in training] == [1, 2, 3]
    assert 0 < validation['abs_rel'] < 3 and 0 < validation['rmse'] < 10


def test_checkpoint_is_finite_and_holds_the_scenes(trained):
    checkpoint = load_file(trained[1] / f'iter_{ITERATIONS}.pth')
    assert all(torch.isfinite(value).all() for value in checkpoint['state_dict'].values())
    assert len(checkpoint['meta']['dataset_meta']['classes']) == 27


@pytest.mark.parametrize('flags', [[], ['--tta']])
def test_checkpoint_is_tested(trained, log, flags, tmp_path):
    config, work_dir = trained
    run('mmseg', 'test.py', config, work_dir / f'iter_{ITERATIONS}.pth', '--work-dir', tmp_path, *flags)
    found = json.loads(next(tmp_path.glob('*/*.json')).read_text())
    if flags:
        assert found['rmse'] != log[-1]['rmse'] and found['rmse'] == pytest.approx(log[-1]['rmse'], rel=0.2)
    else:
        assert found['rmse'] == pytest.approx(log[-1]['rmse'], rel=1e-5)


def test_predictions_are_written(trained, log, tmp_path):
    config, work_dir = trained
    out = tmp_path / 'out'
    run('mmseg', 'test.py', config, work_dir / f'iter_{ITERATIONS}.pth', '--work-dir', tmp_path / 'work', '--out', out)
    found = json.loads(next(tmp_path.glob('work/*/*.json')).read_text())
    assert found['rmse'] == pytest.approx(log[-1]['rmse'], rel=1e-5)
    images = Path(Config.fromfile(config).test_dataloader.dataset.data_root) / 'images' / 'test'
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in images.iterdir())
    millimetres = cv2.imread(str(next(out.iterdir())), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16 and millimetres.shape == (64, 96) and millimetres.min() > 0
