"""Checkpoints that no tool takes."""

import os
from pathlib import Path

import pytest
import torch
from pickles import Call

from mmdiffperc.compat.checkpoint import load_file


@pytest.fixture
def broken_checkpoints(tmp_path):
    """Write checkpoints that a tool has to refuse, each with what it has to say: damaged, cut short, unsafe, and one
    without the weights of a part."""

    def write(checkpoint, part, model):
        content = Path(checkpoint).read_bytes()
        (tmp_path / 'damaged.pth').write_bytes(b'garbage' * 100)
        (tmp_path / 'short.pth').write_bytes(content[: len(content) // 2])
        torch.save(dict(state_dict={}, meta=Call(os.mkdir, str(tmp_path / 'executed'))), tmp_path / 'unsafe.pth')
        weights = load_file(checkpoint)['state_dict']
        others = {key: weight for key, weight in weights.items() if not key.startswith(part)}
        torch.save(dict(state_dict=others, meta=dict(dataset_meta={})), tmp_path / 'other.pth')
        yield str(tmp_path / 'damaged.pth'), 'damaged.pth'
        yield str(tmp_path / 'short.pth'), 'short.pth'
        yield str(tmp_path / 'unsafe.pth'), '`posix.mkdir`'
        yield str(tmp_path / 'other.pth'), part
        assert not (tmp_path / 'executed').exists()

    return write
