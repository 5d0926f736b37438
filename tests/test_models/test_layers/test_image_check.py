import numpy as np
import pytest
import torch
from logs import heard

from mmdiffperc.models.layers.image_check import ImageCheck

GOOD = torch.rand(2, 3, 5, 7) * 2 - 1


@pytest.mark.parametrize(
    ('images', 'found'),
    [
        (None, 'NoneType'),
        ([GOOD], 'list'),
        (np.zeros((2, 3, 5, 7)), 'ndarray'),
        (GOOD.byte(), 'torch.uint8'),
        (GOOD.double(), 'torch.float64'),
        (GOOD.half(), 'torch.float16'),
        (GOOD.to(torch.complex64), 'torch.complex64'),
    ],
)
def test_other_types_are_refused(images, found):
    with pytest.raises(TypeError, match=f'images.*{found}'):
        ImageCheck()(images, torch.float32)


@pytest.mark.parametrize('shape', [(3, 5, 7), (2, 1, 5, 7), (2, 4, 5, 7), (2, 5, 7, 3), (0, 3, 5, 7), (2, 3, 0, 7)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=str(shape).replace('(', r'\(').replace(')', r'\)')):
        ImageCheck()(torch.zeros(shape), torch.float32)


def test_autocast_takes_any_floating_type():
    with torch.autocast('cpu', torch.bfloat16):
        ImageCheck()(GOOD.bfloat16(), torch.float32)
        with pytest.raises(TypeError, match=r'torch\.int32'):
            ImageCheck()(GOOD.int(), torch.float32)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf'), 255.0, 200.0])
def test_values_that_cannot_be_images_are_refused_in_the_first_batch(value):
    images = GOOD.clone()
    images[1, 2, 3, 4] = value
    check = ImageCheck()
    for _ in range(2):  # until a batch has passed, each is the first
        with pytest.raises(ValueError, match=r'\[-1, 1\]'):
            check(images, torch.float32)
    check(GOOD, torch.float32)
    check(images, torch.float32)  # looking at every batch would make a GPU wait


def test_unusual_values_are_a_warning(caplog):
    with heard(caplog):
        ImageCheck()(GOOD, torch.float32)
        assert not caplog.records
        ImageCheck()(GOOD * 2.5, torch.float32)
    assert '127.5' in caplog.text
