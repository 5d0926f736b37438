import numpy as np
import pytest

from mmdiffperc.visualization.depth import colour_depth, depth_figure

NEAREST, FARTHEST = [251, 252, 191], [0, 0, 3]  # the ends of matplotlib's magma_r


def test_colours_of_depth():
    depth = np.array([[1.5, 2.25, 3.0], [0, np.nan, np.inf]])
    colours = colour_depth(depth)
    assert colours.shape == (2, 3, 3) and colours.dtype == np.uint8
    assert colours[0, 0].tolist() == NEAREST and colours[0, 2].tolist() == FARTHEST
    assert not colours[1].any()  # black: no depth


@pytest.mark.parametrize('depth', [0.0, 4.0])
def test_even_depth_can_be_coloured(depth):
    assert len(np.unique(colour_depth(np.full((3, 4), depth)).reshape(-1, 3), axis=0)) == 1


def test_a_figure_has_a_row_for_each_image():
    image = np.zeros((4, 6, 3), np.uint8)
    truth = np.array([[1.0, 2.0], [4.0, 0.0]])
    prediction = np.array([[1.0, 2.0], [1.0, 9.0]])
    figure = depth_figure([(image, truth, prediction)] * 2)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels[:3]] == ['image', 'truth', 'prediction']
    assert len(panels) == 2 * 4
    assert '1.73' in panels[3].get_title()  # the errors are 0, 0 and -3: sqrt(9 / 3)
    error = panels[7].images[0]
    assert error.get_clim() == (-3, 3) and error.get_array().mask.tolist() == [[False, False], [False, True]]
    assert panels[1].images[0].get_clim() == panels[2].images[0].get_clim() == pytest.approx((1, 9))
    assert sum(axes.get_ylabel() == 'm' for axes in figure.axes) == 4  # two colour bars a row
