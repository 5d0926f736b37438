import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from mmdiffperc.engine import DisturbImage


def textured(height=100, width=60):
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


def test_one_hole_of_the_given_size():
    heights, widths = [], []
    for _ in range(50):
        image = textured()
        disturbed = DisturbImage(blur_prob=0.0, median_prob=0.0)(dict(img=image))['img']
        rows, columns = np.nonzero((disturbed == 0).all(-1))
        heights.append(np.ptp(rows) + 1)
        widths.append(np.ptp(columns) + 1)
        assert len(rows) == heights[-1] * widths[-1]
        outside = np.ones(image.shape[:2], bool)
        outside[rows, columns] = False
        assert (disturbed[outside] == image[outside]).all() and image.all()
    assert 20 <= min(heights) < 25 and 35 < max(heights) <= 40
    assert 12 <= min(widths) < 15 and 21 < max(widths) <= 24


@pytest.mark.parametrize('name', ['blur_prob', 'median_prob'])
def test_blur(name):
    image = textured()
    options = dict(blur_prob=0.0, median_prob=0.0, hole_prob=0.0)
    assert (DisturbImage(**options)(dict(img=image))['img'] == image).all()
    blurred = DisturbImage(**options | {name: 1.0})(dict(img=image))['img']
    assert blurred.std() < 0.6 * image.std() and blurred.dtype == np.uint8


def test_probability_and_seed():
    transform = TRANSFORMS.build(dict(type='DisturbImage'))
    image, changed = textured(), 0
    for _ in range(200):
        disturbed = transform(dict(img=image))['img']
        kept = (disturbed != 0).all(-1)
        changed += (disturbed[kept] != image[kept]).any()
    assert 20 <= changed <= 60  # a blur of one kind or the other: 19 % of 200
    repeated = []
    for _ in range(2):
        np.random.seed(3)
        repeated.append(transform(dict(img=image))['img'])
    assert (repeated[0] == repeated[1]).all()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(hole_size=(0.4, 0.2)), r'hole_size=\(0.4, 0.2\)'),
        (dict(hole_size=0.3), 'hole_size'),
        (dict(blur_prob=2.0), 'blur_prob'),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        DisturbImage(**arguments)
