"""Two processes that share a batch train and evaluate as one process does with the whole of it."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from .processes import run_processes, train_and_evaluate
from .tiny_configs import BUILDERS, ITERATIONS, write_configs

METRICS = dict(vpd=('mIoU', 'aAcc'), metaprompts=('mIoU', 'aAcc'), retinanet=('coco/AR@100', 'coco/bbox_mAP'))


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    return write_configs(tmp_path_factory.mktemp('configs'))


@pytest.fixture(scope='module')
def halves(configs, tmp_path_factory):
    """What each of two processes found, with half of the batch."""
    folder = tmp_path_factory.mktemp('halves')
    halved = {}
    for name, path in configs.items():
        cfg = Config.fromfile(path)
        assert cfg.get('find_unused_parameters', False) is False
        cfg.train_dataloader.batch_size //= 2
        halved[name] = str(folder / f'{name}.py')
        cfg.dump(halved[name])
    return run_processes(2, folder / 'work', halved)


@pytest.fixture(scope='module')
def whole(configs, tmp_path_factory):
    """What one process found; for detection it takes the halves one after the other, and steps after both."""
    folder = tmp_path_factory.mktemp('whole')
    one_by_one = {
        'train_dataloader.batch_size': 1,
        'optim_wrapper.accumulative_counts': 2,
        'train_cfg.max_iters': 2 * ITERATIONS,
        'train_cfg.val_interval': 2 * ITERATIONS + 1,
    }
    return {
        name: train_and_evaluate(path, work_dir=str(folder / name), **(one_by_one if name == 'retinanet' else {}))
        for name, path in configs.items()
    }


@pytest.mark.parametrize('name', BUILDERS)
def test_losses_are_equal(name, halves, whole):
    """The loss of the whole is the mean of those of its halves, from the first step to the last."""
    first, second = (half['losses'] for half in halves[name])
    expected = np.reshape(whole[name]['losses'], (ITERATIONS, -1)).mean(1)
    assert len(first) == ITERATIONS and first != second
    assert np.mean([first, second], axis=0) == pytest.approx(expected, rel=1e-4)
    assert abs(expected[-1] - expected[0]) > 1e-3 * expected[0]  # it has moved, so the gradients counted


@pytest.mark.parametrize('name', BUILDERS)
def test_weights_are_equal(name, halves, whole):
    first, second = (half['weights'] for half in halves[name])
    assert set(first) == set(whole[name]['weights'])
    for weight, expected in whole[name]['weights'].items():
        assert torch.equal(first[weight], second[weight]), weight
        torch.testing.assert_close(first[weight], expected, rtol=1e-3, atol=1e-5, msg=weight)


@pytest.mark.parametrize('name', BUILDERS)
def test_metrics_are_equal(name, halves, whole):
    """Though five images are three for the one process and two for the other."""
    expected = whole[name]['metrics']
    for half in halves[name]:
        assert half['metrics'] == pytest.approx(expected, rel=5e-3, abs=1e-3)
    assert expected[METRICS[name][0]] > 0 and set(METRICS[name]) <= set(expected)
