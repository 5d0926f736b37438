"""Values by hand; ``tests/parity/test_dmp_metric.py`` compares the tool with the official script."""

import json
import math

import evaluate_targets
import numpy as np
import pytest
import torch

from mmdiffperc.generative.data.target_stores import new_database, put
from mmdiffperc.inference.writers import encode_npz, encode_png


@pytest.fixture
def folders(tmp_path):
    for name in ('pred', 'truth'):
        (tmp_path / name).mkdir()
    return tmp_path / 'pred', tmp_path / 'truth'


def run(folders, *options):
    out = folders[0].parent / 'found.json'
    status = evaluate_targets.main([*map(str, folders), *map(str, options), '--out-file', str(out)])
    return json.loads(out.read_text()) if status == 0 else status


def write(folder, **arrays):
    """Numbers with a point as npz, others as PNG."""
    for name, array in arrays.items():
        is_float = array.dtype.kind == 'f'
        (folder / f'{name}.{"npz" if is_float else "png"}').write_bytes(
            encode_npz(x=array) if is_float else encode_png(array)
        )


def test_means_and_values_of_images(folders, capsys):
    for index, error in enumerate((51, 102)):
        write(folders[0], **{f'{index}.a': np.full((2, 3, 3), error, np.uint8)})
        write(folders[1], **{f'{index}.a': np.zeros((2, 3, 3), np.uint8)})
    found = run(folders, '--metrics', 'l1', 'mse', '--per-image')
    assert found['images'] == 2 and found['metrics'] == pytest.approx(dict(l1=0.3, mse=(0.04 + 0.16) / 2))
    assert found['per_image'] == {
        '0.a': pytest.approx(dict(l1=0.2, mse=0.04)),
        '1.a': pytest.approx(dict(l1=0.4, mse=0.16)),
    }
    assert '2 predictions' in (table := capsys.readouterr().out) and 'l1            0.3\n' in table


def test_two_angles(folders):
    """Of normals x and y: 90 degrees; their colours (1, 0.5, 0.5) and (0.5, 1, 0.5) are closer."""
    write(folders[0], a=np.array([[[1, 0.5, 0.5]]]))
    write(folders[1], a=np.array([[[0.5, 1, 0.5]]]))
    found = run(folders, '--metrics', 'angular', 'normal_angle')['metrics']
    assert found == pytest.approx(dict(angular=math.acos(1.25 / 1.5), normal_angle=90))


def test_depth(folders):
    """Pixels without depth do not count."""
    write(folders[0], a=np.array([[1.0, 2, 3]]))
    write(folders[1], a=np.array([[0.0, 2, 4]]))
    found = run(folders, '--abs', '--metrics', 'rel', 'delta', 'l1')['metrics']
    assert found == pytest.approx(dict(rel=0.125, delta=0.5, l1=0.5))


def test_labels(folders):
    write(folders[0], a=np.array([[0, 0, 1, 1]], np.uint8))
    write(folders[1], a=np.array([[1, 2, 2, 0]], np.uint8))
    found = run(folders, '--metrics', 'miou', '--num-classes', 2, '--reduce-zero')['metrics']
    assert found['IoU.0'] == pytest.approx(50) and found['IoU.1'] == pytest.approx(50) and found['aAcc'] > 66


def test_official_database_and_type_of_the_predictions(folders):
    """The npz of a prediction comes before its picture, unless ``--ext`` asks for the picture."""
    write(folders[0], a=np.full((2, 3, 3), 0.5))
    write(folders[0], a=np.full((2, 3, 3), 255, np.uint8))
    with new_database(folders[1], 2**20) as database:
        put(database, 'a-r', encode_png(np.full((2, 3, 3), 255, np.uint8)))
        put(database, 'a-s', encode_png(np.full((2, 3), 0, np.uint8)))
    for options, expected in ((['r'], 0.5), (['s'], 0.5), (['r', '--ext', 'png'], 0), (['s', '--ext', 'png'], 1)):
        assert run(folders, '--metrics', 'l1', '--extra-key', *options)['metrics']['l1'] == pytest.approx(expected)


def test_undefined_values_are_null(folders):
    write(folders[0], a=np.full((2, 2), np.nan), b=np.zeros((2, 2)))
    write(folders[1], a=np.ones((2, 2)), b=np.ones((2, 2)))
    found = run(folders, '--metrics', 'l1', '--per-image')
    assert found['metrics'] == dict(l1=None) and found['per_image'] == dict(a=dict(l1=None), b=dict(l1=1))


@pytest.mark.parametrize(
    ('pred', 'truth', 'options', 'words'),
    [
        (np.zeros((2, 2), np.uint8), np.ones((2, 3), np.uint8), ['miou', '--num-classes', '2'], ['(2, 2)', '(2, 3)']),
        (np.full((2, 2), 7, np.uint8), np.ones((2, 2), np.uint8), ['miou', '--num-classes', '2'], ['prediction', '7']),
        (np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.uint8), ['miou', '--num-classes', '2'], ['convert_colours']),
        (np.zeros((2, 2, 3), np.uint8), np.ones((2, 2)), ['l1', '--abs'], ['--abs', '(2, 2, 3)']),
        (np.full((2, 2), -0.5), np.ones((2, 2)), ['l1'], ['a.npz', '-0.5']),
    ],
)
def test_unsuitable_maps_are_named(folders, capsys, pred, truth, options, words):
    write(folders[0], a=pred)
    write(folders[1], a=truth)
    assert run(folders, '--metrics', *options) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in ('a', *words))


def test_missing_files(folders, capsys):
    assert run(folders, '--metrics', 'l1') == 1
    assert 'pred' in capsys.readouterr().err
    write(folders[0], a=np.zeros((2, 2)))
    assert run(folders, '--metrics', 'l1') == 1
    assert '1 of 1' in (error := capsys.readouterr().err) and "'a' or 'a-r' or 'a-s'" in error


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['miou'], '--num-classes'),
        (['miou', 'l1', '--num-classes', '2'], 'other metrics'),
        (['rel', '--norm'], 'rel'),
        (['angular', '--abs'], 'angular'),
        (['l1', '--per-image'], '--out-file'),
    ],
)
def test_options_that_exclude_each_other(folders, capsys, options, words):
    with pytest.raises(SystemExit):
        evaluate_targets.parse_args([*map(str, folders), '--metrics', *options])
    assert words in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu(folders):
    rng = np.random.default_rng(0)
    for folder in folders:
        write(folder, **{name: rng.random((20, 30, 3)) for name in 'ab'})
    for metrics in (['l1', 'rel', 'delta', 'angular', 'normal_angle', 'psnr'], ['rmse', 'mse', '--norm']):
        found = [run(folders, '--metrics', *metrics, '--device', device)['metrics'] for device in ('cpu', 'cuda')]
        assert found[0] == pytest.approx(found[1])
