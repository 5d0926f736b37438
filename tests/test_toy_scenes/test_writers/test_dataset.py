import json
from pathlib import Path

import pytest
from full_disk import full_disk

from mmdiffperc.toy_scenes.writers import DatasetSpec, make_sample, write_dataset

SMALL = DatasetSpec(2, 1, 32, seed=5)


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in Path(root).rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp('dataset') / 'nested' / 'out'
    assert write_dataset(out, SMALL)
    return out


def test_equal_arguments_give_equal_bytes_with_any_number_of_workers(written, tmp_path):
    write_dataset(tmp_path / 'again', SMALL, workers=2)
    assert contents(tmp_path / 'again') == contents(written)


def test_another_seed_domain_or_split_gives_other_scenes():
    image = make_sample(SMALL, 'train', 0).rendering.image
    for spec, split in (
        (DatasetSpec(2, 1, 32, seed=6), 'train'),
        (DatasetSpec(2, 1, 32, seed=5, domain='b'), 'train'),
        (SMALL, 'val'),
    ):
        assert (make_sample(spec, split, 0).rendering.image != image).mean() > 0.5


def test_a_longer_data_set_begins_with_the_shorter_one():
    longer = DatasetSpec(9, 4, 32, seed=5)
    for split in ('train', 'val'):
        one, other = make_sample(SMALL, split, 0), make_sample(longer, split, 0)
        assert (one.rendering.image == other.rendering.image).all() and one.captions == other.captions


def test_finished_data_set_is_left_alone(written):
    before = {path: path.stat().st_mtime_ns for path in written.rglob('*')}
    assert not write_dataset(written, SMALL)
    assert {path: path.stat().st_mtime_ns for path in written.rglob('*')} == before


@pytest.mark.parametrize('asked', [('ade',), ('refcoco', 'nyu')])
def test_data_set_with_more_formats_is_left_alone(written, asked):
    assert not write_dataset(written, DatasetSpec(2, 1, 32, seed=5, formats=asked))


def test_data_set_of_other_arguments_is_refused(written):
    before = contents(written)
    with pytest.raises(FileExistsError, match='arguments'):
        write_dataset(written, DatasetSpec(3, 1, 32, seed=5))
    assert contents(written) == before


def test_data_set_of_fewer_formats_is_refused(tmp_path):
    write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('ade', 'nyu')))
    with pytest.raises(FileExistsError, match='arguments'):
        write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('ade', 'coco')))


def test_foreign_folder_or_file_is_refused_and_empty_folder_is_filled(tmp_path):
    for name in ('file', 'folder/file'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('precious')
    for name in ('file', 'folder'):
        with pytest.raises(FileExistsError, match='toy'):
            write_dataset(tmp_path / name, SMALL)
    (tmp_path / 'empty').mkdir()
    assert write_dataset(tmp_path / 'empty', DatasetSpec(1, 1, 32, formats=('nyu',)))
    assert sorted(path.name for path in (tmp_path / 'empty').iterdir()) == ['images', 'nyu', 'toy_scenes.json']


def test_nothing_is_left_of_a_run_that_fails(tmp_path, monkeypatch):
    def full_disk(path, array):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmdiffperc.toy_scenes.writers.dataset.write_png', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_dataset(tmp_path / 'out', SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [5_000, 20_000])  # it is full when a database is opened, or is filled
def test_full_disk_of_a_database_leaves_nothing(tmp_path, size):
    with full_disk(size), pytest.raises(OSError, match='disk'):
        write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 64, formats=('dmp',)))
    assert list(tmp_path.iterdir()) == []


def test_images_are_stored_once(written):
    image = next((written / 'images/train').iterdir())
    assert image.stat().st_nlink == 4
    assert (written / 'nyu/images/train' / image.name).samefile(image)


def test_manifest_states_the_arguments_and_order_of_formats_is_none(written):
    manifest = json.loads((written / 'toy_scenes.json').read_text())
    assert manifest['num_train'] == 2 and manifest['seed'] == 5
    assert DatasetSpec(1, 1, formats=('coco', 'ade')) == DatasetSpec(1, 1, formats=('ade', 'coco'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_train=0), 'num_train=0'),
        (dict(num_val=0), 'num_val=0'),
        (dict(size=31), r'size=31.*\(height, width\).*pixels.*\b32\b'),
        (dict(size=(64, 20)), r'size=\(64, 20\)'),
        (dict(size=(64, 64, 3)), r'size=\(64, 64, 3\)'),
        (dict(size=10**9), 'size=1000000000'),
        (dict(seed=-1), r'seed=-1.*\b0\b'),
        (dict(domain='c'), "domain='c'.*'a'.*'b'"),
        (dict(formats=('voc',)), r"formats\[0\]='voc'.*'ade'"),
        (dict(formats=()), r'formats=\(\).*\b1\b'),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        DatasetSpec(**(dict(num_train=2, num_val=2) | arguments))
