"""Toy configs run by one process and by two."""

import pytest
import torch
from mmengine.config import Config

from mmdiffperc.compat.checkpoint import load_file

from .processes import run_processes, train_and_evaluate
from .tiny_configs import ITERATIONS, fully_sharded, sharded, write_configs


@pytest.fixture(scope='session', autouse=True)
def on_cpu():
    """Sums of several processes on one GPU differ from those of one by more than is allowed here."""
    if torch.cuda.is_available():
        pytest.skip('compares processes on the CPU: CUDA_VISIBLE_DEVICES= pytest tests/test_distributed')


@pytest.fixture(scope='session')
def configs(tmp_path_factory):
    return write_configs(tmp_path_factory.mktemp('configs'))


def halve(path, target):
    """Write a config with half of the batch for each process."""
    cfg = Config.fromfile(path)
    assert cfg.get('find_unused_parameters', False) is False
    cfg.train_dataloader.batch_size //= 2
    cfg.dump(target)
    return str(target)


def with_low_memory(path, target):
    """Write a config whose optimizer updates all weights at once, in a wrapper that saves memory."""
    cfg = Config.fromfile(path)
    cfg.optim_wrapper.type = 'LowMemoryOptimWrapper'
    cfg.optim_wrapper.optimizer.fused = True
    cfg.dump(target)
    return str(target)


@pytest.fixture(scope='session')
def halves_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('halves')


@pytest.fixture(scope='session')
def halves(configs, halves_folder):
    """What each of two processes found, with half of the batch; VPD also sharded, and resumed when half done."""
    halved = {name: halve(path, halves_folder / f'{name}.py') for name, path in configs.items()}
    halved['sharded'] = sharded(halved['vpd'], halves_folder / 'sharded.py')
    halved['low_memory'] = with_low_memory(halved['vpd'], halves_folder / 'low_memory.py')
    checkpoint = halves_folder / 'sharded' / f'iter_{ITERATIONS // 2}.pth'
    halved['resumed'] = sharded(halved['vpd'], halves_folder / 'resumed.py', resume=True, load_from=str(checkpoint))
    halved['fully_sharded'] = fully_sharded(halved['vpd'], halves_folder / 'fully_sharded.py')
    return run_processes(2, halves_folder, halved)


@pytest.fixture(scope='session')
def whole_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('whole')


@pytest.fixture(scope='session')
def whole(configs, whole_folder):
    """What one process found; for detection it takes the halves one after the other, and steps after both."""
    one_by_one = {
        'train_dataloader.batch_size': 1,
        'optim_wrapper.accumulative_counts': 2,
        'train_cfg.max_iters': 2 * ITERATIONS,
        'train_cfg.val_interval': 2 * ITERATIONS + 1,
    }
    return {
        name: train_and_evaluate(path, whole_folder / name, **(one_by_one if name == 'retinanet' else {}))
        for name, path in configs.items()
    }


@pytest.fixture(scope='session')
def last_weights(halves_folder, whole_folder):
    """The weights after training, as two processes saved them and as one did."""

    def last_weights(name, reference):
        folders = halves_folder / name, whole_folder / reference
        return [load_file((folder / 'last_checkpoint').read_text())['state_dict'] for folder in folders]

    return last_weights
