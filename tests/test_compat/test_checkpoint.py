"""Checkpoints load with all that mmengine and research code put into them, and execute nothing."""

import contextlib
import datetime
import functools
import importlib
import os
import pathlib
import pickle
import subprocess
import sys
import time
import zipfile
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint
from pickles import Call
from torch import nn

from mmdiffperc.compat.checkpoint import find_damage, load_file
from mmdiffperc.compat.checkpoint_unpickler import restricted

FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])


def save(content, path, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def hide(name, monkeypatch, target):
    """Makes ``target`` pickle under a module that is gone when the file is loaded."""
    *packages, target.__qualname__ = name.split('.')
    target.__module__ = '.'.join(packages)
    for depth in range(1, len(packages)):
        parent = '.'.join(packages[:depth])
        monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent, ModuleType(parent)))
    module = ModuleType(target.__module__)
    setattr(module, target.__qualname__, target)
    monkeypatch.setitem(sys.modules, module.__name__, module)


# ---------------------------------------------------------------------------------------------- what has to load


@FORMATS
def test_loads_what_mmengine_and_research_code_save(tmp_path, zipped):
    history = HistoryBuffer([1.0, 4.0], [1, 1])
    content = dict(
        state_dict=dict(weight=torch.arange(6.0).reshape(2, 3).half(), parameter=nn.Parameter(torch.ones(4))),
        history=history,
        anneal=OneCycleParamScheduler._annealing_cos,
        scalars=[np.float64(2.5), np.float32(0.5), np.int64(7), np.bool_(True), np.str_('name')],
        arrays=[np.arange(6, dtype='i2').reshape(2, 3), np.array(['a', 'bc']), np.array([1 + 2j]), np.array([False])],
        meta=ConfigDict(classes=('sky', 'sea'), nested=dict(palette=[[1, 2, 3]])),
        args=Namespace(lr=1e-3, output=pathlib.Path('runs/a')),
        time=datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        plain=[{1, 2}, b'bytes', bytearray(b'array'), None, 2**70],
    )

    loaded = load_file(save(content, tmp_path / 'a.pth', zipped))

    assert torch.equal(loaded['state_dict']['weight'], content['state_dict']['weight'])
    assert torch.equal(loaded['state_dict']['parameter'], torch.ones(4))
    assert loaded['history'].mean() == 2.5 and loaded['history'].statistics('max') == 4.0
    assert loaded['anneal'] is OneCycleParamScheduler._annealing_cos
    assert loaded['scalars'] == content['scalars']
    assert all(type(a) is type(b) for a, b in zip(loaded['scalars'], content['scalars'], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(loaded['arrays'], content['arrays'], strict=True))
    assert loaded['meta'] == content['meta'] and type(loaded['meta'].nested) is ConfigDict
    assert loaded['args'].lr == 1e-3 and str(loaded['args'].output) == 'runs/a'
    assert loaded['time'] == content['time'] and loaded['plain'] == content['plain']


@pytest.mark.parametrize('core', ['core', '_core'])
def test_loads_scalars_of_either_numpy(tmp_path, monkeypatch, core):
    def scalar():
        raise AssertionError('only its name is saved')

    with monkeypatch.context() as patch:
        hide(f'numpy.{core}.multiarray.scalar', patch, scalar)
        path = save([Call(scalar, np.dtype('f8'), np.float64(0.25).tobytes())], tmp_path / 'a.pth')
    assert load_file(path) == [0.25]


def test_loads_stable_diffusion_files_without_lightning(tmp_path, monkeypatch):
    class ModelCheckpoint:
        pass

    with monkeypatch.context() as patch:
        hide('pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint', patch, ModelCheckpoint)
        path = save(
            dict(state_dict=dict(w=torch.ones(3)), callbacks={ModelCheckpoint: dict(best=1)}), tmp_path / 'a.ckpt'
        )
    loaded = load_file(path)
    assert torch.equal(loaded['state_dict']['w'], torch.ones(3))
    assert list(loaded['callbacks'].values()) == [dict(best=1)]


@FORMATS
def test_mapped_file_has_the_same_values(tmp_path, zipped):
    weight = torch.randn(5, 7)
    path = save(dict(weight=weight), tmp_path / 'a.bin', zipped)
    assert torch.equal(load_file(path, mmap=True)['weight'], weight)
    assert torch.equal(load_file(str(path))['weight'], weight)


def test_map_location_is_passed_on(tmp_path):
    path = save(torch.ones(2), tmp_path / 'a.pth')
    assert load_file(path, map_location='meta').device.type == 'meta'


@pytest.mark.parametrize(('map_location', 'device'), [('cuda:1', 'cpu'), (None, 'cpu'), ('meta', 'meta')])
def test_resumed_checkpoint_stays_off_the_gpu(map_location, device, tmp_path):
    """A runner asks for the device of the model, which has no room for a second copy of everything."""
    path = save(torch.ones(2), tmp_path / 'a.pth')
    assert CheckpointLoader.load_checkpoint(str(path), map_location=map_location).device.type == device


# ------------------------------------------------------------------------------------------- what must not execute

PYTHON = '__import__("os").system({!r})'
ATTACKS = [
    ('posix.system', lambda command: Call(os.system, command)),
    ('eval', lambda command: Call(eval, PYTHON.format(command))),
    ('exec', lambda command: Call(exec, PYTHON.format(command))),
    ('commands.Popen', lambda command: Call(subprocess.Popen, ['sh', '-c', command])),  # its name in pickle protocol 2
    ('functools.partial', lambda command: Call(functools.partial(os.system, command))),
    # torch's own functions, which are allowed, handed what is not
    (
        'eval',
        lambda command: Call(torch._tensor._rebuild_from_type_v2, eval, torch.Tensor, (PYTHON.format(command),), {}),
    ),
    ('posix.system', lambda command: Call(torch._utils._rebuild_parameter, Call(os.system, command), False, {})),
]


@FORMATS
@pytest.mark.parametrize(('name', 'attack'), ATTACKS)
def test_attack_is_refused_by_name(tmp_path, name, attack, zipped):
    sentinel = tmp_path / 'executed'
    content = dict(state_dict=dict(weight=torch.ones(2)), meta=[attack(f'touch {sentinel}')])
    path = save(content, tmp_path / 'attack.pth', zipped)

    for load in (load_file, CheckpointLoader.load_checkpoint, lambda path: load_checkpoint(nn.Linear(1, 1), path)):
        with pytest.raises(pickle.UnpicklingError, match=f'attack.pth.*`{name}`'):
            load(str(path))
    assert not sentinel.exists()


@FORMATS
@pytest.mark.parametrize('attack', [attack for _, attack in ATTACKS])
def test_the_attacks_are_real(tmp_path, attack, zipped):
    """Without protection each would have run, so the test above can fail."""
    path = save([attack(f'touch {tmp_path}/executed')], tmp_path / 'attack.pth', zipped)
    with contextlib.suppress(Exception):  # what torch makes of the result does not matter
        torch.load(path, weights_only=False)
    deadline = time.monotonic() + 10
    while not (tmp_path / 'executed').exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # Popen does not wait
    assert (tmp_path / 'executed').exists()


@FORMATS
@pytest.mark.parametrize(
    'stolen',
    [
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, HistoryBuffer, 'register_statistics'),
        Call(getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'),
        Call(getattr, Namespace, '__subclasses__'),
        Call(getattr, Call(importlib.import_module, 'os'), 'system'),
        Call(getattr, torch.ones(1), 'numpy'),
    ],
    ids=['init', 'classmethod', 'globals', 'subclasses', 'module', 'instance'],
)
def test_getattr_answers_for_known_methods_only(tmp_path, stolen, zipped):
    path = save([stolen], tmp_path / 'attack.pth', zipped)
    with pytest.raises(pickle.UnpicklingError, match=r'`(getattr\(|importlib\.import_module`)'):
        load_file(path)


def test_loading_cannot_change_a_class_or_function(tmp_path):
    before = HistoryBuffer.mean.__defaults__
    state = (None, {'__defaults__': ('changed',)})
    path = save([Call(getattr, HistoryBuffer, 'mean', state=state)], tmp_path / 'attack.pth')
    with pytest.raises(RuntimeError, match=r'attack\.pth'):
        load_file(path)
    assert HistoryBuffer.mean.__defaults__ == before


@pytest.mark.filterwarnings('ignore:.*torch.jit:FutureWarning', 'ignore:.*TorchScript:UserWarning')
def test_torchscript_is_refused(tmp_path):
    path = str(tmp_path / 'script.pt')
    torch.jit.save(torch.jit.trace(nn.Linear(2, 3), torch.ones(1, 2)), path)
    with pytest.raises(RuntimeError, match='script.pt.*TorchScript'):
        load_file(path)


# ----------------------------------------------------------------------------------------------- what is not a file


@FORMATS
@pytest.mark.parametrize('kept', [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize('mmap', [True, False], ids=['mapped', 'read'])
def test_truncated_file_is_named(tmp_path, zipped, kept, mmap):
    path = save(dict(weight=torch.randn(100, 100)), tmp_path / 'cut.pth', zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(RuntimeError, match=r'cut\.pth.*incomplete'):
        load_file(path, mmap=mmap)


@pytest.mark.parametrize('content', [b'<!DOCTYPE html>', b'version https://git-lfs', bytes(range(256)), b'\x80\x02.'])
def test_other_file_is_named(tmp_path, content):
    path = tmp_path / 'page.ckpt'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r'page\.ckpt'):
        load_file(path)


def test_missing_file_is_named(tmp_path):
    for path in (tmp_path / 'none.pth', tmp_path):
        with pytest.raises(FileNotFoundError, match=str(path)):
            load_file(path)


# ---------------------------------------------------------------------------------------------- what is damaged


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(weight=torch.arange(600.0), bias=torch.zeros(3))), path)
    return path


def flip_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def position_of_weight(path):
    """Where the first tensor's bytes start: 599.0 is nowhere else in the file."""
    return path.read_bytes().index(torch.tensor([598.0, 599.0]).numpy().tobytes())


def test_whole_file_has_no_damage(checkpoint):
    assert find_damage(checkpoint) is None
    assert CheckpointLoader.load_checkpoint(str(checkpoint))['state_dict']['weight'][599] == 599


def test_flipped_bit_of_a_weight(checkpoint):
    flip_bit(checkpoint, position_of_weight(checkpoint))
    assert torch.load(checkpoint)['state_dict']['weight'][598] != 598, 'torch would not have noticed'
    assert 'data/0' in find_damage(checkpoint)
    with pytest.raises(RuntimeError, match=r'epoch_1\.pth.*data/0'):
        CheckpointLoader.load_checkpoint(str(checkpoint))


def test_flipped_bit_of_the_pickle_is_no_refused_type(checkpoint):
    """The message names the checksum even if loading fails as well."""
    flip_bit(checkpoint, checkpoint.read_bytes().index(b'_rebuild_tensor_v2'))
    with pytest.raises(RuntimeError, match=r'epoch_1\.pth.*data\.pkl'):
        CheckpointLoader.load_checkpoint(str(checkpoint))


@pytest.mark.parametrize('length', [0, 100, -1])
def test_truncated_file_is_damaged(checkpoint, length):
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    assert find_damage(checkpoint)


def test_missing_file_is_damaged(tmp_path):
    assert 'FileNotFoundError' in find_damage(tmp_path / 'epoch_1.pth')


def test_files_without_checksums_load(tmp_path):
    weights = dict(weight=torch.arange(4.0))
    torch.save(weights, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights, tmp_path / 'fast.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert find_damage(tmp_path / 'fast.pth') is None
    for name in ('old.pth', 'fast.pth'):
        assert torch.equal(CheckpointLoader.load_checkpoint(str(tmp_path / name))['weight'], weights['weight'])


def test_records_that_share_their_bytes_are_not_read(tmp_path):
    """A small file whose table of contents names the same megabyte a thousand times is not read a thousand times."""
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('data', bytes(2**20))
        archive.filelist.extend(archive.filelist * 999)
    assert 'larger' in find_damage(path)


# -------------------------------------------------------------------------------------------------- mmengine's runs


def weights(runner):
    return torch.cat([parameter.detach().flatten() for parameter in runner.model.parameters()])


class Interrupted(Exception):
    pass


class InterruptThirdEpoch(Hook):
    def before_train_epoch(self, runner):
        if runner.epoch == 2:
            raise Interrupted


def test_resumed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path, make_runner):
    undisturbed = make_runner(tmp_path / 'a', 4)
    undisturbed.train()
    with pytest.raises(Interrupted):
        make_runner(tmp_path / 'b', 4, hooks=[InterruptThirdEpoch()]).train()
    resumed = make_runner(tmp_path / 'b', 4, resume=True)
    resumed.train()
    assert resumed.epoch == 4
    assert torch.equal(weights(resumed), weights(undisturbed))


def test_load_from_takes_the_weights(tmp_path, make_runner):
    first = make_runner(tmp_path / 'a', 1)
    first.train()
    second = make_runner(tmp_path / 'b', 1, load_from=str(tmp_path / 'a' / 'epoch_1.pth'))
    assert not torch.equal(weights(second), weights(first))
    second.load_or_resume()
    assert torch.equal(weights(second), weights(first))


def test_the_allow_list_is_needed(tmp_path, make_runner):
    """When this fails, torch or mmengine has changed, and the module under test may be deleted."""
    make_runner(tmp_path, 1).train()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'epoch_1.pth')


def test_other_loading_keeps_torchs_own_lists(tmp_path):
    """Libraries may allow NumPy's arrays temporarily, and another thread may be loading a checkpoint."""
    array, parameter = np.arange(3.0), torch.nn.Parameter(torch.ones(2))
    parameter.tag = 'mine'
    torch.save(dict(array=array), tmp_path / 'numpy.pth')
    torch.save(dict(state_dict=dict(weight=parameter)), tmp_path / 'tagged.pth')
    numpy_types = [type(array), type(array.dtype), np.dtype, array.__reduce__()[0]]
    with torch.serialization.safe_globals(numpy_types):
        found = [torch.load(tmp_path / 'numpy.pth')['array'], load_file(tmp_path / 'numpy.pth')['array']]
    for one in found:
        np.testing.assert_array_equal(one, array)
    assert type(found[0]) is np.ndarray

    with restricted(), ThreadPoolExecutor(1) as pool:
        other = pool.submit(torch.load, tmp_path / 'tagged.pth').result()
    assert other['state_dict']['weight'].tag == 'mine'
    assert not hasattr(load_file(tmp_path / 'tagged.pth')['state_dict']['weight'], 'tag')
