"""Pose from training to test through the scripts that ``mim train mmpose`` and ``mim test mmpose`` run."""

import json

import numpy as np
import pytest
import torch
from host_scripts import read_log, run, train
from tiny_pose import write_config

from mmdiffperc.compat.checkpoint import load_file

ITERATIONS = 3


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config, and the folder of its training."""
    folder = tmp_path_factory.mktemp('pose')
    config = write_config(folder)
    train('mmpose', config, folder / 'work', ITERATIONS)
    return config, folder / 'work'


@pytest.fixture(scope='module')
def log(trained):
    return read_log(trained[1])


def test_training_is_logged(log):
    *training, validation = log
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert {'coco/AP', 'coco/AP .5', 'coco/AR'} < set(validation) and 0 <= validation['coco/AP'] <= 1


def test_checkpoint_is_finite_and_knows_the_keypoints(trained):
    checkpoint = load_file(trained[1] / f'iter_{ITERATIONS}.pth')
    assert all(torch.isfinite(value).all() for value in checkpoint['state_dict'].values())
    assert checkpoint['meta']['dataset_meta']['keypoint_id2name'][16] == 'right_ankle'


def test_checkpoint_is_tested(trained, log, tmp_path):
    config, work_dir = trained
    run('mmpose', 'test.py', config, work_dir / f'iter_{ITERATIONS}.pth', '--work-dir', tmp_path)
    found = json.loads(next(tmp_path.glob('*/*.json')).read_text())
    assert found['coco/AP'] == pytest.approx(log[-1]['coco/AP'], abs=1e-5)
    assert found['coco/AR'] == pytest.approx(log[-1]['coco/AR'], abs=1e-5)
