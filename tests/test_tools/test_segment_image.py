import cv2
import numpy as np
import pytest
from mmseg.apis import inference_model, init_model
from pages import ROOT, commands


@pytest.fixture
def image(tmp_path):
    """An image file, and its pixels in BGR."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'scene.png'), pixels)
    return tmp_path / 'scene.png', pixels


@pytest.fixture
def run(tool, tiny_vpd, tiny_checkpoint, tmp_path):
    """Runs the tool; returns its exit status."""
    from segment_image import main

    def run(image, config=tiny_vpd, checkpoint=tiny_checkpoint):
        return main([config, checkpoint, str(image), '--out', str(tmp_path / 'out'), '--device', 'cpu'])

    return run


def test_shares_are_listed_from_the_largest(tool):
    from segment_image import shares

    labels = np.array([[0, 2, 2], [2, 0, 2]])
    assert shares(labels, ['road', 'tram', 'sky']) == 'sky 66.7%, road 33.3%'


def test_the_overlay_is_half_image_half_colour(tool, tmp_path):
    from segment_image import write_labels

    image = np.array([[[10, 20, 30], [0, 0, 255]]], np.uint8)  # BGR
    write_labels(image, np.array([[1, 0]]), np.array([[0, 100, 0], [50, 60, 200]]), tmp_path / 'a')
    overlay = cv2.imread(str(tmp_path / 'a_overlay.png'))[..., ::-1]
    assert overlay.tolist() == [[[40, 40, 105], [128, 50, 0]]]


def test_labels_are_those_of_the_model(run, image, tiny_vpd, tiny_checkpoint, tmp_path, capsys):
    path, pixels = image
    assert run(path) == 0
    labels = cv2.imread(str(tmp_path / 'out/scene_labels.png'), cv2.IMREAD_UNCHANGED)
    expected = inference_model(init_model(tiny_vpd, tiny_checkpoint, device='cpu'), str(path)).pred_sem_seg.data[0]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected.numpy())
    assert '%' in capsys.readouterr().out


def test_a_folder(run, image, tmp_path, capsys):
    path, _ = image
    folder = tmp_path / 'photos'
    (folder / 'folder.png').mkdir(parents=True)
    path.rename(folder / 'a.png')
    for name in ('._a.png', 'b.png', 'c.heic'):
        (folder / name).write_bytes(b'no image')
    assert run(folder) == 1
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == ['a_labels.png', 'a_overlay.png']
    captured = capsys.readouterr()
    assert str(tmp_path / 'out/a') in captured.out and 'b.png' in captured.err and '._a' not in captured.err


def test_errors_are_one_line(run, tmp_path, capsys):
    (tmp_path / 'text.png').write_text('no image')
    for wrong in ('absent.png', 'text.png'):
        assert run(tmp_path / wrong) == 1
        assert wrong in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_the_command_of_the_first_page(tool, tmp_path, monkeypatch, capsys):
    """A fresh clone has its config, its checkpoint and its image."""
    from segment_image import main

    command = next(command for command in commands() if command.startswith('python tools/segment_image')).split()
    monkeypatch.chdir(ROOT)
    assert main([*command[2:], '--out', str(tmp_path), '--device', 'cpu']) == 0
    assert {'floor', 'wall'} < set(capsys.readouterr().out.split())
    assert len(list(tmp_path.glob('scene_*.png'))) == 2
