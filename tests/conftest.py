"""What every test gets: fixed seeds, one thread, the CPU, no network, and no default scope from the test before."""

import gc
import os

# Read when the hub client is imported; a test that would download fails at once instead of waiting.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
# The same sums everywhere; on a GPU with `CUDA_VISIBLE_DEVICES=0 make test`.
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import random
import signal
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmengine
import numpy as np
import pytest
import tiny_seg
import torch
from host_scripts import forget_visualizers
from mmengine.config import Config, config
from mmengine.config import utils as config_utils
from mmengine.dataset import base_dataset
from mmengine.registry import DefaultScope
from tiny_arch import ARCHS, write_arch

import mmdiffperc  # its compat part has to come before any host
from mmdiffperc.generative import DeterministicDiffusion
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

ROOT = Path(mmdiffperc.__file__).parents[1]
HOSTS = Path(mmengine.__file__).parents[1]
UNCHANGING = tuple(f'{folder}/' for folder in (ROOT / 'configs', ROOT / 'mmdiffperc', ROOT / 'projects', HOSTS))

# A background job of a script ignores SIGINT, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    """The workers share the machine, and one thread gives the same sums everywhere."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session', autouse=True)
def imported_once():
    """Garbage collection need not look through all that the hosts have imported, nor start with each dataset."""
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
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


@pytest.fixture(scope='session', autouse=True)
def configs_read_once():
    """A config of this repository or of a host does not change, and reading its bases takes longer than most tests."""
    read = Config._file2dict
    read_unchanging = cache(read)

    def read_copy(filename, *options, **named_options):
        path = os.path.abspath(filename)
        if path.startswith(UNCHANGING):
            return deepcopy(read_unchanging(path, *options, **named_options))
        return read(filename, *options, **named_options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(read_copy))
        # For each base config of a host, mmengine asks what is installed and reads all metafiles of the host.
        patch.setattr(config, 'is_installed', cache(config.is_installed))
        patch.setattr(config_utils, 'load', cache(config_utils.load))
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


@pytest.fixture(scope='module', autouse=True)
def own_visualizer():
    """The runners of a module share one at most, not that of a module before, which writes into another folder."""
    forget_visualizers()


@pytest.fixture(scope='session')
def archs(tmp_path_factory):
    """Folders of tiny architectures by name, see `tiny_arch`."""
    return {name: write_arch(tmp_path_factory.mktemp('arch') / 'arch', name) for name in ARCHS}


@pytest.fixture(scope='session')
def arch(archs):
    """The folder of the tiny architecture for tests that are not about architectures."""
    return archs['sd1']


@pytest.fixture(scope='session')
def tiny_vpd(tmp_path_factory):
    """A config file of segmentation, see `tiny_seg`."""
    return tiny_seg.write_config(tmp_path_factory.mktemp('tiny_vpd'))


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_vpd, tmp_path_factory):
    """A checkpoint of its model, with random weights."""
    return tiny_seg.write_checkpoint(tiny_vpd, tmp_path_factory.mktemp('tiny_checkpoint') / 'tiny_vpd.pth')


@pytest.fixture(scope='session')
def adapter(tmp_path_factory):
    """The folder of an adapter for DMP that changes something."""
    torch.manual_seed(0)
    model = DeterministicDiffusion('tiny-sd')
    for name, weight in model.unet.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_lora(folder := tmp_path_factory.mktemp('adapter'))
    return folder


@pytest.fixture(scope='session')
def toy_spec():
    """A small data set of images that are not square."""
    return DatasetSpec(num_train=5, num_val=8, size=(48, 64), seed=7)


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory, toy_spec):
    """Where `toy_spec` has been written."""
    root = tmp_path_factory.mktemp('toy') / 'scenes'
    write_dataset(root, toy_spec)
    return root


@pytest.fixture
def image() -> np.ndarray:
    """BGR, taller than wide; a size that no network takes as it is."""
    random = np.random.default_rng(0)
    return cv2.resize(random.integers(0, 256, (5, 4, 3), np.uint8), (51, 67), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path, image) -> Path:
    """A folder with two images of different sizes, and something else."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    cv2.imwrite(str(folder / 'bed.png'), image)
    cv2.imwrite(str(folder / 'door.JPG'), image[:45, ::-1])
    (folder / 'notes.txt').write_text('')
    return folder
