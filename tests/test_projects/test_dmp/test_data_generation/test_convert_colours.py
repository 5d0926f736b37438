import os

import convert_colours
import numpy as np
import pytest

from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.generative.evaluation.coloured_segmentation import resolve_palette
from mmdiffperc.inference.writers import encode_png


@pytest.fixture
def classes(tmp_path):
    """A folder with a map of some classes of ADE20K, as ADE20K numbers them: 0 is none."""
    (tmp_path / 'classes').mkdir()
    labels = np.array([[0, 1, 4, 8], [6, 9, 150, 15]], np.uint8)
    (tmp_path / 'classes/a.png').write_bytes(encode_png(labels))
    return labels


def run(tmp_path, source, out, to, *options):
    status = convert_colours.main([str(tmp_path / source), '--out', str(tmp_path / out), '--to', to, *options])
    file = tmp_path / out / 'a.png'
    return status, decode_target(file.read_bytes(), 'a.png') if file.exists() else None


@pytest.mark.parametrize('palette', ['ade20k', 'ade20k_bedroom'])
def test_there_and_back(tmp_path, classes, palette):
    options = ['--palette', palette, '--reduce-zero-label']
    status, colours = run(tmp_path, 'classes', 'colours', 'colours', *options)
    assert status == 0 and colours[0, 0].tolist() == [0, 0, 0]
    assert (colours[0, 1:] == resolve_palette(palette)[classes[0, 1:] - 1]).all()
    status, back = run(tmp_path, 'colours', 'back', 'classes', *options)
    assert status == 0 and (back[classes > 0] == classes[classes > 0]).all()


def test_bedroom_knows_fewer_classes(tmp_path, classes):
    run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    _, back = run(tmp_path, 'colours', 'back', 'classes', '--bedroom')
    assert back[0, 1] == 0 and back[0, 2] == 3 and back[1, 2] != 149


def test_what_is_there_is_left(tmp_path, classes, capsys):
    run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    before = (tmp_path / 'colours/a.png').stat().st_mtime_ns
    run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    assert (tmp_path / 'colours/a.png').stat().st_mtime_ns == before
    assert '0 new maps' in capsys.readouterr().out
    assert run(tmp_path, 'classes', 'colours', 'colours', '--palette', 'ade20k')[0] == 1
    assert "palette 'ade20k_bedroom'" in capsys.readouterr().err
    assert (tmp_path / 'colours/a.png').stat().st_mtime_ns == before


def test_maps_older_than_their_source_are_converted_again(tmp_path, classes, capsys):
    """As after a new prediction."""
    run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    os.utime(tmp_path / 'colours/a.png', (0, 0))
    run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    assert capsys.readouterr().out.count('1 new maps') == 2


def test_bad_maps_are_reported_and_the_others_done(tmp_path, classes, capsys):
    content = (tmp_path / 'classes/a.png').read_bytes()
    (tmp_path / 'classes/0.png').write_bytes(content[:-20])
    (tmp_path / 'classes/._a.png').write_bytes(b'')
    status, colours = run(tmp_path, 'classes', 'colours', 'colours', '--reduce-zero-label')
    error = capsys.readouterr().err
    assert status == 1 and colours.shape == (2, 4, 3)
    assert '1 of 2 files' in error and str(tmp_path / 'classes/0.png') in error and '._a' not in error


def test_palette_of_a_data_set(tmp_path, classes, capsys):
    palette = '--palette', 'mmseg.CityscapesDataset'
    status, colours = run(tmp_path, 'classes', 'colours', 'colours', *palette)
    error = capsys.readouterr().err
    assert status == 1 and colours is None and all(word in error for word in ('a.png', '18', '150', 'Cityscapes'))
    classes[1, 2] = 255
    (tmp_path / 'classes/a.png').write_bytes(encode_png(classes))
    status, colours = run(tmp_path, 'classes', 'colours', 'colours', *palette)
    assert status == 0 and colours[0, 0].tolist() == [128, 64, 128] and colours[0, 2].tolist() == [190, 153, 153]
    assert not colours[1, 2].any()
