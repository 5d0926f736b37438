"""What every test gets: fixed seeds, one thread, the CPU, no network, and no default scope from the test before."""

import gc
import os

# Read when the hub client is imported; a test that would download fails at once instead of waiting.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
# The same sums everywhere; on a GPU with `CUDA_VISIBLE_DEVICES=0 make test`.
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import random

import numpy as np
import pytest
import torch
from mmengine.config import config
from mmengine.registry import DefaultScope

import mmdiffperc  # noqa: F401  (its compat part has to come before any host)


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    """The workers share the machine, and one thread gives the same sums everywhere."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session', autouse=True)
def imported_once():
    """mmengine collects garbage for each dataset, which need not look through all that the hosts have imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()  # for the libraries that count what is left at the end


@pytest.fixture(scope='session', autouse=True)
def unformatted_configs():
    """Each run and each checkpoint of it formats the config, which takes longer than a tiny training.

    This is what ``Config(format_python_code=False)`` does; the scripts of the hosts offer no option for it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, 'FormatCode', lambda text, **options: (text, True))
        yield


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Seeds Python, NumPy and torch."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_default_scope():
    """Runners and ``init_default_scope`` set a scope for the whole process; the next test starts without one."""
    yield
    DefaultScope._instance_dict.clear()
