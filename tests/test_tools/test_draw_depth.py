import cv2
import draw_depth
import numpy as np
import pytest
from tiny_depth import write_checkpoint, write_config

from mmdiffperc.visualization import colour_depth, depth_figure


def test_near_is_bright_and_nothing_is_black():
    colours = colour_depth(np.array([[1.0, 2.0, 3.0, 0.0, np.nan]]))
    assert colours.shape == (1, 5, 3) and colours.dtype == np.uint8
    brightness = colours[0].astype(int).sum(axis=1)
    assert (np.diff(brightness[:3]) < -100).all()
    assert brightness[3:].tolist() == [0, 0]


@pytest.mark.parametrize('depth', [0.0, 4.0])
def test_even_depth_can_be_coloured(depth):
    assert len(np.unique(colour_depth(np.full((3, 4), depth)).reshape(-1, 3), axis=0)) == 1


def test_figure_shows_the_error_where_there_is_truth():
    truth = np.array([[1.0, 2.0, 0.0], [4.0, 5.0, 6.0]])
    prediction = truth + np.array([[0.5, -0.5, 9.0], [0.5, 0.5, -0.5]])
    figure = depth_figure([(np.zeros((2, 3, 3), np.uint8), truth, prediction)] * 2)
    panels = [axes for axes in figure.axes if axes.get_title()]
    titles = ['image', 'truth', 'prediction', 'error (RMSE 0.50 m)']
    assert [axes.get_title() for axes in panels] == titles * 2
    assert sum(axes.get_ylabel() == 'm' for axes in figure.axes) == 4  # two colour bars a row
    _, shown_truth, shown_prediction, error = (axes.images[0] for axes in panels[:4])
    assert shown_truth.get_clim() == shown_prediction.get_clim() == (1, 9)
    assert error.get_clim() == (-0.5, 0.5)
    np.testing.assert_array_equal(error.get_array().mask, truth == 0)


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
