"""A tool that is killed while it writes, and run again, ends with the same files as an undisturbed one."""

import os
import signal
from functools import partial
from pathlib import Path

import child_processes
import convert_colours
import numpy as np
import pack_lmdb
import pytest
import resumable

from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

MAPS = 3


@pytest.fixture
def maps(tmp_path):
    """A folder of maps of classes, and one of depth for them."""
    rng = np.random.default_rng(0)
    encoders = dict(classes=('.png', encode_png), depth=('.npz', lambda depth: encode_npz(x=depth)))
    for folder, (suffix, encode) in encoders.items():
        (tmp_path / folder).mkdir()
        for index in range(MAPS):
            content = encode(rng.integers(0, 150, (20, 30), np.uint8))
            (tmp_path / folder / f'{index}{suffix}').write_bytes(content)
    return tmp_path


def convert_folder(maps: Path, out: Path):
    resumable.write_folder(out, {f'a/{file.name}': partial(copy, file) for file in (maps / 'classes').iterdir()})


def copy(source: Path, target: Path):
    target.write_bytes(source.read_bytes())


def colour(maps: Path, out: Path):
    assert convert_colours.main([str(maps / 'classes'), '--out', str(out), '--to', 'colours']) == 0


def pack(maps: Path, out: Path):
    assert pack_lmdb.main([str(maps / 'classes'), '--targets', str(maps / 'depth'), '--out', str(out)]) == 0


def write_scenes(maps: Path, out: Path):
    write_dataset(out, DatasetSpec(1, 1, 32))


def killing(call, nth: int):
    """What does the same as a function, but kills the process at its n-th call: a writer half-way."""
    number = 0

    def patched(*args, **kwargs):
        nonlocal number
        number += 1
        if number < nth:
            return call(*args, **kwargs)
        if call is Path.write_bytes:
            call(args[0], args[1][: len(args[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    return patched


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize(
    ('tool', 'owner', 'name', 'nth'),
    [
        (convert_folder, os, 'replace', 1),
        (convert_folder, os, 'replace', MAPS + 1),  # the folder itself
        (convert_folder, Path, 'write_bytes', 2),
        (colour, os, 'replace', 1),  # the note of the settings
        (colour, os, 'replace', MAPS),
        (colour, Path, 'write_bytes', 3),
        (pack, os, 'replace', 1),
        (write_scenes, os, 'replace', 1),
        (write_scenes, Path, 'write_bytes', 2),
    ],
)
def test_killed_and_run_again(maps, monkeypatch, tool, owner, name, nth):
    for folder in ('undisturbed', 'killed'):
        (maps / folder).mkdir()
    tool(maps, maps / 'undisturbed' / 'out')

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing(getattr(owner, name), nth))
        process = child_processes.fork(lambda: tool(maps, maps / 'killed' / 'out'))
    assert child_processes.exit_code(process) == -signal.SIGKILL

    tool(maps, maps / 'killed' / 'out')
    assert contents(maps / 'killed') == contents(maps / 'undisturbed')
