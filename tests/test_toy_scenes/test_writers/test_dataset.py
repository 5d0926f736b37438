import json
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import full_disk

from mmdiffperc.toy_scenes.writers import DatasetSpec, dataset, make_sample, write_dataset

# Two formats of domain a and one of domain b: enough for whatever the formats have in common.
SMALL = DatasetSpec(2, 1, 32, seed=5, formats=('nyu', 'dmp', 'dmp_b'))


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in Path(root).rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp('dataset') / 'nested' / 'out'
    assert write_dataset(out, SMALL) == list(SMALL.formats)
    return out


def test_equal_arguments_give_equal_bytes_with_any_number_of_workers(written, tmp_path):
    write_dataset(tmp_path / 'again', SMALL, workers=2)
    assert contents(tmp_path / 'again') == contents(written)


def test_another_seed_domain_or_split_gives_other_scenes():
    image = make_sample(SMALL, 'train', 0).rendering.image
    for sample in (
        make_sample(DatasetSpec(2, 1, 32, seed=6), 'train', 0),
        make_sample(SMALL, 'train', 0, 'b'),
        make_sample(replace(SMALL, domain='d'), 'train', 0),
        make_sample(SMALL, 'val', 0),
    ):
        assert (sample.rendering.image != image).mean() > 0.5


def test_a_longer_data_set_begins_with_the_shorter_one():
    longer = DatasetSpec(9, 4, 32, seed=5)
    for split in ('train', 'val'):
        one, other = make_sample(SMALL, split, 0), make_sample(longer, split, 0)
        assert (one.rendering.image == other.rendering.image).all() and one.captions == other.captions


def test_each_format_is_a_folder_and_domain_b_is_for_validation(written):
    assert sorted(path.name for path in written.iterdir()) == ['dmp', 'dmp_b', 'nyu']
    assert sorted(path.name for path in (written / 'dmp_b').iterdir()) == ['targets', 'toy_scenes.json', 'val']
    image = next((written / 'dmp_b/val').glob('*.png'))
    assert image.read_bytes() == make_sample(SMALL, 'val', 0, 'b').png


def test_domain_of_a_data_set_has_both_splits(tmp_path):
    spec = replace(SMALL, formats=('nyu', 'nyu_c', 'nyu_b'), domain='c')
    write_dataset(tmp_path, spec)
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.glob('*/images/*/*.png')}
    expected = {
        f'nyu/images/train/outdoors_00000{index}.png': make_sample(spec, 'train', index).png for index in (0, 1)
    }
    one, other = make_sample(spec, 'val', 0), make_sample(SMALL, 'val', 0, 'b')
    expected |= {f'{name}/images/test/{one.file_name}': one.png for name in ('nyu', 'nyu_c')}
    assert found == expected | {f'nyu_b/images/test/{other.file_name}': other.png}
    with pytest.raises(FileExistsError, match="'domain': 'd'.*'domain': 'c'"):
        write_dataset(tmp_path, replace(spec, domain='d'))


def test_finished_data_set_is_left_alone(written):
    before = {path: path.stat().st_mtime_ns for path in written.rglob('*')}
    assert write_dataset(written, SMALL) == write_dataset(written, replace(SMALL, formats=('dmp',))) == []
    assert {path: path.stat().st_mtime_ns for path in written.rglob('*')} == before


def test_formats_are_added_later(tmp_path, written):
    for formats, added in ((('nyu',), ['nyu']), (('dmp_b', 'nyu', 'dmp'), ['dmp_b', 'dmp'])):
        assert write_dataset(tmp_path, replace(SMALL, formats=formats)) == added
    assert contents(tmp_path) == contents(written)


def test_scenes_with_other_arguments_are_refused(written):
    before = contents(written)
    with pytest.raises(FileExistsError, match=r"nyu .*'num_train': 3.*'num_train': 2"):
        write_dataset(written, replace(SMALL, num_train=3))
    assert contents(written) == before


def test_foreign_folder_or_file_is_refused_and_empty_folder_is_filled(tmp_path):
    for out in ('file', 'folder'):
        (tmp_path / out).mkdir()
    for path in (tmp_path / 'file/nyu', tmp_path / 'folder/nyu/file'):
        path.parent.mkdir(exist_ok=True)
        path.write_text('precious')
    for out in ('file', 'folder'):
        with pytest.raises(FileExistsError, match=f'{out}/nyu'):
            write_dataset(tmp_path / out, SMALL)
    (tmp_path / 'empty/nyu').mkdir(parents=True)
    assert write_dataset(tmp_path / 'empty', replace(SMALL, formats=('nyu',))) == ['nyu']


def test_what_another_process_writes_in_the_meantime_is_kept(tmp_path, monkeypatch):
    """It is found at the end, when the folders get their names; the rest is written again."""
    scenes = dataset._scenes

    def meanwhile(spec, formats):
        monkeypatch.undo()
        write_dataset(tmp_path, replace(SMALL, formats=('dmp_b',)))
        return scenes(spec, formats)

    monkeypatch.setattr(dataset, '_scenes', meanwhile)
    assert write_dataset(tmp_path, replace(SMALL, formats=('nyu', 'dmp_b'))) == ['nyu', 'dmp_b']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['dmp_b', 'nyu']


def test_nothing_is_left_of_a_run_that_fails(tmp_path, monkeypatch):
    def full_disk(path, array):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmdiffperc.toy_scenes.writers.dmp.write_file', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_dataset(tmp_path, SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [5_000, 20_000])  # it is full when a database is opened, or is filled
def test_full_disk_of_a_database_leaves_nothing(tmp_path, size):
    with full_disk(size), pytest.raises(OSError, match='disk'):
        write_dataset(tmp_path, DatasetSpec(1, 1, 64, formats=('dmp',)))
    assert list(tmp_path.iterdir()) == []


def test_manifest_states_the_arguments(written):
    for name, domain in (('nyu', 'a'), ('dmp_b', 'b')):
        manifest = json.loads((written / name / 'toy_scenes.json').read_text())
        assert manifest == dict(num_train=2, num_val=1, size=32, seed=5, domain=domain, generator=2)


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
        (dict(formats=('voc',)), r"formats\[0\]='voc'.*'ade'"),
        (dict(domain='f'), "domain='f'.*'a'.*'e'"),
        (dict(formats=()), r'formats=\(\).*\b1\b'),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        DatasetSpec(**(dict(num_train=2, num_val=2) | arguments))
