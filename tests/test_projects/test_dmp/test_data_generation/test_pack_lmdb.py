import re

import numpy as np
import pack_lmdb
import pytest
from full_disk import full_disk

from mmdiffperc.generative import ImageTargetDataset
from mmdiffperc.generative.data.target_stores import open_targets
from mmdiffperc.inference.metadata import metadata_line
from mmdiffperc.inference.writers import encode_npz


@pytest.fixture
def targets(images):
    """Depth of the images, of 30 kB each, so that it is no matter of a few pages."""
    folder = images.parent / 'depth'
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number, name in enumerate('abc'):
        (folder / f'{name}.npz').write_bytes(encode_npz(x=rng.random((60, 80)) + number))
    return folder


def run(images, targets, *options):
    out = images.parent / 'packed' / 'depth'
    return pack_lmdb.main([str(images), '--targets', str(targets), '--out', str(out), *options]), out


def test_pack(images, targets, capsys):
    status, out = run(images, targets)
    assert status == 0 and [path.name for path in out.parent.iterdir()] == ['depth']
    packed = open_targets(out)
    assert [packed.read(f'{name}.png')[0] for name in 'abc'] == [
        (targets / f'{name}.npz').read_bytes() for name in 'abc'
    ]
    assert len(ImageTargetDataset(dict(img_path=str(images), target_path=str(out)))) == 3
    times = [path.stat().st_mtime_ns for path in out.iterdir()]
    assert run(images, targets)[0] == 0 and str(out) in capsys.readouterr().out.splitlines()[-1]
    assert [path.stat().st_mtime_ns for path in out.iterdir()] == times  # it is complete


def test_only_some_keys(tmp_path, images, targets):
    (targets / 'b.npz').unlink()
    (tmp_path / 'keys.txt').write_text('c.png\na.png\n')
    out = tmp_path / 'packed'
    options = ['--targets', str(targets), '--out', str(out), '--keys', str(tmp_path / 'keys.txt')]
    assert pack_lmdb.main([str(images), *options]) == 0
    assert open_targets(out).keys() == ['a.png', 'c.png']


@pytest.mark.parametrize(('extra_key', 'keys'), [('', ['a', 'b', 'c']), ('s', ['a-s', 'b-s', 'c-s'])])
def test_official_keys(images, targets, extra_key, keys):
    status, out = run(images, targets, '--extra-key', extra_key)
    assert status == 0 and open_targets(out).missing(['a.png', *keys]) == ['a.png']
    assert ImageTargetDataset(dict(img_path=str(images), target_path=str(out)))[2]['target_key'] == keys[2]
    assert run(images, targets, '--extra-key', extra_key)[0] == 0
    assert run(images, targets, '--extra-key', 'r')[0] == 1


def test_several_images_with_one_official_key(images, targets, capsys):
    for folder, suffix in ((images, '.png'), (targets, '.npz')):
        (folder / f'b{suffix}').rename(folder / f'a.2{suffix}')
    (images / 'metadata.jsonl').unlink()
    assert run(images, targets)[0] == 0
    status, out = run(images, targets, '--extra-key', 'r')
    assert status == 1 and "'a.2.png' and 'a.png'" in capsys.readouterr().err


def test_full_disk_leaves_nothing(images, targets, capsys):
    with full_disk(60_000):
        status, out = run(images, targets)
    assert status == 1 and f'{out}: ' in capsys.readouterr().err
    assert not list(out.parent.iterdir())
    assert run(images, targets)[0] == 0


def test_name_longer_than_a_key_of_lmdb(images, targets, capsys):
    folder = '/'.join(['x' * 127] * 4)  # 511 bytes with the slashes, so that a name in it is too long
    for root, suffix in ((images, '.png'), (targets, '.npz')):
        (root / folder).mkdir(parents=True)
        (root / f'a{suffix}').rename(root / folder / f'a{suffix}')
    (images / 'metadata.jsonl').write_text(metadata_line(f'{folder}/a.png', 'a box'))
    status, out = run(images, targets)
    error = capsys.readouterr().err
    assert status == 1 and '517' in error and '511' in error and not list(out.parent.iterdir())


def test_bad_targets(images, targets, capsys):
    (targets / 'b.npz').write_bytes(b'PK\x03\x04 broken')
    status, out = run(images, targets)
    assert status == 1 and 'b.npz' in capsys.readouterr().err and not list(out.parent.iterdir())
    (targets / 'b.npz').unlink()
    assert run(images, targets)[0] == 1
    assert re.search(r'\b1 of 3\b.*depth.*b\.', capsys.readouterr().err)


def test_something_else_is_kept(images, targets, capsys):
    out = images.parent / 'packed' / 'depth'
    out.mkdir(parents=True)
    (out / 'precious').touch()
    assert run(images, targets)[0] == 1
    assert str(out) in capsys.readouterr().err and (out / 'precious').exists()


def test_captions_of_images_elsewhere(images, targets, capsys):
    for name in ('../depth/b.png', 'y' * 300):
        (images / 'metadata.jsonl').write_text(metadata_line(name, 'a box'))
        status, out = run(images, targets)
        assert status == 1 and 'line 1' in capsys.readouterr().err and not out.parent.exists()
