import numpy as np

from mmdiffperc.visualization.mask import COLOUR, label_overlay, mask_overlay


def test_tint_and_outline():
    image = np.full((7, 9, 3), (100, 200, 50), np.uint8)
    mask = np.zeros((7, 9), bool)
    mask[1:6, 2:7] = True
    picture = mask_overlay(image, mask, opacity=0.25)
    assert picture.dtype == np.uint8
    assert (picture[~mask] == image[~mask]).all()
    assert (picture[2:5, 3:6] == (130, 155, 52)).all()  # a quarter of the colour
    outline = mask.copy()
    outline[2:5, 3:6] = False
    assert (picture[outline] == COLOUR).all()
    assert (image == (100, 200, 50)).all()


def test_empty_mask():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(mask_overlay(image, np.zeros((2, 4), bool)), image)


def test_labels():
    image = np.array([[[30, 20, 10], [255, 0, 0]]], np.uint8)
    picture = label_overlay(image, np.array([[1, 0]]), [[0, 100, 0], [50, 60, 200]])
    assert picture.tolist() == [[[40, 40, 105], [128, 50, 0]]]
