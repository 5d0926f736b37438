import cv2
import draw_depth
import pytest
from tiny_depth import write_checkpoint, write_config


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    """A config, whose test set has three images, and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    return [config, write_checkpoint(config, folder / 'depth.pth')]


def test_draws_images_of_the_test_set(model_files, tmp_path, capsys):
    heights = []
    for indices in (['--indices', '0', '2'], []):
        out = tmp_path / 'new' / f'{len(indices)}.png'
        assert draw_depth.main([*model_files, *indices, '--out-file', str(out)]) == 0
        assert f'{out} written' in capsys.readouterr().out
        height, width = cv2.imread(str(out)).shape[:2]
        assert width == 120 * (4 * 2.4 + 1.6)
        heights.append(height)
    assert heights[1] == pytest.approx(1.5 * heights[0], rel=0.01)  # all three: there are no four


def test_config_of_another_model(tiny_vpd, tiny_checkpoint, tmp_path, capsys):
    assert draw_depth.main([tiny_vpd, tiny_checkpoint, '--out-file', str(tmp_path / 'depth.png')]) == 1
    assert 'draw_depth: expected a depth estimator, got EncoderDecoder' in capsys.readouterr().err


def test_image_that_the_test_set_does_not_have(model_files, tmp_path, capsys):
    assert draw_depth.main([*model_files, '--indices', '0', '3', '--out-file', str(tmp_path / 'depth.png')]) == 1
    assert '0 to 2, got [3]' in capsys.readouterr().err
    assert not (tmp_path / 'depth.png').exists()
