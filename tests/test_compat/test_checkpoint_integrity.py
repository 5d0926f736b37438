"""Damaged checkpoint files are found by their checksums."""

import zipfile

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmdiffperc.compat.checkpoint import find_damage


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


def test_whole_file(checkpoint):
    assert find_damage(checkpoint) is None
    assert CheckpointLoader.load_checkpoint(str(checkpoint))['state_dict']['weight'][599] == 599


def test_flipped_bit_of_a_weight(checkpoint):
    flip_bit(checkpoint, position_of_weight(checkpoint))
    assert torch.load(checkpoint)['state_dict']['weight'][598] != 598, 'torch would not have noticed'
    assert 'data/0' in find_damage(checkpoint)
    with pytest.raises(RuntimeError, match=r'epoch_1\.pth.*data/0'):
        CheckpointLoader.load_checkpoint(str(checkpoint))


def test_flipped_bit_of_the_pickle_is_no_refused_type(checkpoint):
    """The checksum is the better message where the loading fails, too."""
    flip_bit(checkpoint, checkpoint.read_bytes().index(b'_rebuild_tensor_v2'))
    with pytest.raises(RuntimeError, match=r'epoch_1\.pth.*data\.pkl'):
        CheckpointLoader.load_checkpoint(str(checkpoint))


@pytest.mark.parametrize('length', [0, 100, -1])
def test_truncated_file(checkpoint, length):
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    assert find_damage(checkpoint)


def test_missing_file(tmp_path):
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
