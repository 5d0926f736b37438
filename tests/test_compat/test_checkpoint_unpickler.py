"""What a checkpoint may build, and that none takes memory which its file does not have."""

import _codecs as codecs
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from pickles import Call

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.checkpoint_unpickler import LoadedArray, LoadedType, scalar

GIGABYTE = 10**9


def typed_storage():
    return torch.ones(4)._typed_storage()


GREEDY = {
    'bytearray': lambda: Call(bytearray, GIGABYTE),
    'torch.FloatTensor': lambda: Call(torch.FloatTensor, GIGABYTE),
    'torch.Tensor': lambda: Call(torch.Tensor, GIGABYTE),
    'TypedStorage': lambda: Call(torch.storage.TypedStorage, GIGABYTE),
    'UntypedStorage': lambda: Call(torch.UntypedStorage, GIGABYTE),
    'ndarray': lambda: Call(np.ndarray, (GIGABYTE,), 'f8'),
    'huge shape': lambda: Call(torch._utils._rebuild_tensor_v2, typed_storage(), 0, (GIGABYTE,), (1,), False, {}),
    'stride 0': lambda: Call(torch._utils._rebuild_tensor_v2, typed_storage(), 0, (GIGABYTE,), (0,), False, {}),
    'doubling': lambda: Call(codecs.encode, Call(codecs.encode, 'a', 'latin1'), 'hex'),
}


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('kind', GREEDY)
def test_a_few_bytes_take_no_gigabyte(tmp_path, kind, zipped):
    path = tmp_path / 'greedy.pth'
    torch.save(dict(meta=[GREEDY[kind]()]), path, _use_new_zipfile_serialization=zipped)
    tracemalloc.start()
    with pytest.raises((pickle.UnpicklingError, RuntimeError, ValueError), match=r'greedy\.pth'):
        load_file(path)
    assert tracemalloc.get_traced_memory()[1] < GIGABYTE / 10
    tracemalloc.stop()


def rewrite(path, target, compression=zipfile.ZIP_STORED, **content):
    """Copy a file of ``torch.save``, with other records."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, 'w', compression) as copy:
        for record in source.infolist():
            name = record.filename.rpartition('/')[2]
            copy.writestr(record.filename, content.get(name) or source.read(record))


@pytest.mark.parametrize('mmap', [True, False], ids=['mapped', 'read'])
def test_compressed_records_are_refused_unread(tmp_path, mmap):
    torch.save(dict(weight=torch.zeros(1000, 1000)), tmp_path / 'plain.pth')
    rewrite(tmp_path / 'plain.pth', tmp_path / 'bomb.pth', zipfile.ZIP_DEFLATED)
    assert (tmp_path / 'bomb.pth').stat().st_size < 20_000
    with pytest.raises(RuntimeError, match=r'bomb\.pth.*(compressed|overlap)'):
        load_file(tmp_path / 'bomb.pth', mmap=mmap)


def test_records_copied_as_they_are_load(tmp_path):
    torch.save(dict(weight=torch.arange(6.0)), tmp_path / 'plain.pth')
    rewrite(tmp_path / 'plain.pth', tmp_path / 'copy.pth')
    assert load_file(tmp_path / 'copy.pth')['weight'].tolist() == [0, 1, 2, 3, 4, 5]


def nested_pairs(times):
    pair = (1, 2)
    for _ in range(times):
        pair = (pair, pair)
    return pair


def with_key(key):
    """A pickle of ``{key: 1}`` that never computes the hash of the key."""
    return b'\x80\x02}' + pickle.dumps(key, 2)[2:-1] + b'K\x01s.'


def test_a_key_whose_hash_would_take_hours(tmp_path):
    torch.save({}, tmp_path / 'plain.pth')
    rewrite(tmp_path / 'plain.pth', tmp_path / 'small.pth', **{'data.pkl': with_key(nested_pairs(5))})
    assert load_file(tmp_path / 'small.pth') == {nested_pairs(5): 1}
    rewrite(tmp_path / 'plain.pth', tmp_path / 'hours.pth', **{'data.pkl': with_key(nested_pairs(50))})
    with pytest.raises(RuntimeError, match=r'hours\.pth'):
        load_file(tmp_path / 'hours.pth')


def test_a_file_that_is_no_zip_inside_is_named(tmp_path):
    torch.save(dict(weight=torch.arange(6.0)), tmp_path / 'plain.pth')
    rewrite(tmp_path / 'plain.pth', tmp_path / 'cut.pth', **{'data.pkl': b'\x80\x02'})
    with pytest.raises(RuntimeError, match=r'cut\.pth'):
        load_file(tmp_path / 'cut.pth')


# -------------------------------------------------------------------------------------- histories and tensors


def test_a_history_cannot_replace_the_statistics_of_its_class(tmp_path):
    history = HistoryBuffer([1.0, 4.0], [1, 1])
    history._statistics_methods = dict(mean=HistoryBuffer.max)
    torch.save(dict(history=history), tmp_path / 'a.pth')
    loaded = load_file(tmp_path / 'a.pth')['history']
    assert type(loaded) is HistoryBuffer and vars(loaded).keys() == {'max_length', '_log_history', '_count_history'}
    assert loaded.statistics('mean') == 2.5 and HistoryBuffer([1.0, 4.0], [1, 1]).statistics('mean') == 2.5
    assert type(loaded._log_history) is np.ndarray
    loaded.update(7.0)
    torch.save(dict(history=loaded), tmp_path / 'b.pth')
    assert load_file(tmp_path / 'b.pth')['history'].current() == 7


def test_a_history_of_something_else_is_named(tmp_path):
    history = HistoryBuffer()
    history._log_history = 'text'
    torch.save(dict(history=history), tmp_path / 'a.pth')
    with pytest.raises(RuntimeError, match=r'a\.pth'):
        load_file(tmp_path / 'a.pth')


def test_attributes_of_tensors_are_left_out(tmp_path):
    tensor, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(3))
    tensor.note = parameter.note = 'attribute'
    torch.save([tensor, parameter], tmp_path / 'a.pth')
    loaded = load_file(tmp_path / 'a.pth')
    assert (
        loaded[0].tolist() == [1, 1] and loaded[1].tolist() == [1, 1, 1] and isinstance(loaded[1], torch.nn.Parameter)
    )
    assert not any(hasattr(entry, 'note') for entry in loaded)


# ------------------------------------------------------------------------------------------------------------ NumPy


def test_arrays_load_whatever_their_byte_order_and_are_saved_as_arrays(tmp_path):
    arrays = [np.arange(6, dtype='>i4').reshape(2, 3), np.asfortranarray(np.eye(3)), np.array(['a', 'bcd'], '>U3')]
    arrays += [np.array([b'x', b'yz']), np.zeros((0, 4)), np.str_(''), np.array('text')]
    torch.save(arrays, tmp_path / 'a.pth')
    for source, loaded in zip(arrays, load_file(tmp_path / 'a.pth'), strict=True):
        assert loaded.dtype == source.dtype.newbyteorder('=') and np.array_equal(loaded, source)
        assert loaded.flags.f_contiguous == source.flags.f_contiguous
        assert type(pickle.loads(pickle.dumps(loaded))) is type(source)


@pytest.mark.parametrize(
    ('kind', 'content'),
    [
        ('O8', b'A' * 8),  # would read the address 0x4141414141414141
        ('V8', b'A' * 8),
        ('U2', b'\xff' * 8),  # beyond Unicode, ends the process when it is read
        ('f8', b'A' * 7),
        ('f8', b'A' * 16),
        (5, b'A' * 8),
    ],
)
def test_what_is_neither_number_nor_text(kind, content):
    with pytest.raises(ValueError):
        scalar(LoadedType(kind), content)


@pytest.mark.parametrize('shape', [(-1,), (2**40, 2**40), (3,)])
def test_a_shape_beyond_the_content(shape):
    with pytest.raises(ValueError, match='16 bytes'):
        LoadedArray().__setstate__((1, shape, LoadedType('f8'), False, bytes(16)))


def test_the_state_of_a_type_changes_nothing_but_the_byte_order(tmp_path):
    """With NumPy's own, this flag makes objects of numbers."""
    kind = LoadedType('f8')
    kind.__setstate__((3, '>', None, ('a',), {'a': 1}, 99, 8, 63))
    assert kind.dtype == np.dtype('>f8') and not kind.dtype.hasobject


@pytest.mark.parametrize('dtype', ['O', 'V8', 'M8[s]'])
def test_arrays_of_anything_else_are_refused_with_the_file(tmp_path, dtype):
    torch.save(dict(state_dict={}, meta=dict(note=np.zeros(2, dtype))), tmp_path / 'a.pth')
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match=r'a\.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
