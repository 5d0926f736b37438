import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import visualize_attention


@pytest.fixture
def image():
    """BGR, of sides that the strides divide."""
    return np.random.randint(0, 256, (128, 64, 3), np.uint8)


@pytest.fixture
def run(tiny_checkpoint, tmp_path, image):
    """Runs the tool on an image; returns its exit status and the picture."""
    source, out = tmp_path / 'image.png', tmp_path / 'new' / 'attention.png'
    cv2.imwrite(str(source), image)

    def run(config, *arguments, source=source, checkpoint=tiny_checkpoint):
        options = [*arguments, '--device', 'cpu', '--out-file', str(out)]
        return visualize_attention.main([config, checkpoint, str(source), *options]), cv2.imread(str(out))

    return run


def test_writes_a_png(run, tiny_vpd, capsys):
    status, picture = run(tiny_vpd, '--classes', 'box', 'traffic cone', '--strides', '32')
    assert status == 0 and 'attention.png written' in capsys.readouterr().out
    # Three panels of 1.6 x 3.2 inches and their margins, at 150 dots per inch.
    assert picture.shape == (555, 1080, 3)


def test_errors_are_one_clear_line(run, tiny_vpd, tmp_path, capsys):
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    assert run(tiny_vpd, '--classes', 'cat')[0] == 1
    assert re.search('cat.*sphere, box, traffic cone\n$', capsys.readouterr().err)
    for name, message in (('text', 'image'), ('empty', 'empty'), ('absent', 'absent')):
        assert run(tiny_vpd, '--classes', 'box', source=tmp_path / f'{name}.png')[0] == 1
        error = capsys.readouterr().err
        assert f'{name}.png' in error and message in error


def test_bad_checkpoints_are_one_clear_line(run, tiny_vpd, tiny_checkpoint, tmp_path, capsys):
    (tmp_path / 'cut.pth').write_bytes(Path(tiny_checkpoint).read_bytes()[:500])
    torch.save(test_bad_checkpoints_are_one_clear_line, tmp_path / 'unsafe.pth')  # the name of a function to import
    for name, message in (('cut.pth', 'incomplete'), ('unsafe.pth', 'refused'), ('no.pth', 'no.pth')):
        assert run(tiny_vpd, '--classes', 'box', checkpoint=str(tmp_path / name))[0] == 1
        error = capsys.readouterr().err
        assert 'visualize_attention: ' in error and name in error and message in error
