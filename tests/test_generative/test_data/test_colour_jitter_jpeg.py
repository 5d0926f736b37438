import numpy as np
import pytest
import torch

from mmdiffperc.generative import ColourJitterJPEG


@pytest.fixture
def results():
    """A smooth image in BGR."""
    torch.manual_seed(0)
    rows, columns = np.mgrid[0:24, 0:40]
    return dict(img=np.stack([4 * rows, 5 * columns, 120 + rows + columns], axis=2).astype(np.uint8))


@pytest.mark.parametrize('shape', [(24, 40, 3), (24, 40)])
def test_image_changes_alone(results, shape):
    """Albumentations, which the official code uses, neither jitters nor compresses what it is given as ``mask``."""
    before, target = results['img'].copy(), np.full(shape, 0.4, np.float32)
    found = ColourJitterJPEG()(dict(results, gt_target=target))
    assert found['img'].dtype == np.uint8 and (found['img'] != before).any()
    assert found['gt_target'] is target and (target == np.float32(0.4)).all()


def test_brightness_alone(results):
    """By the factor that torchvision draws."""
    before = results['img'].astype(float)
    options = dict(jitter_prob=1.0, contrast=0.0, saturation=0.0, hue=0.0, jpeg_prob=0.0)
    after = ColourJitterJPEG(brightness=0.2, **options)(results)['img'].astype(float)
    factor = after.mean() / before.mean()
    assert 0.8 <= factor <= 1.2 and abs(factor - 1) > 0.01
    assert abs(after - factor * before).mean() < 1


def test_low_quality_changes_more(results):
    before = results['img'].astype(int)
    errors = []
    for quality in (100, 70):
        torch.manual_seed(0)
        transform = ColourJitterJPEG(jitter_prob=0.0, jpeg_prob=1.0, lowest_quality=quality)
        errors.append(np.mean([abs(transform(dict(img=results['img']))['img'] - before).mean() for _ in range(8)]))
    assert 0 < errors[0] < errors[1]


def test_half_of_the_images_are_compressed(results):
    before = results['img']
    transform = ColourJitterJPEG(jitter_prob=0.0)
    changed = [(transform(dict(img=before))['img'] != before).any() for _ in range(200)]
    assert 70 < sum(changed) < 130


def test_off(results):
    image = results['img']
    assert ColourJitterJPEG(prob=0.0)(results)['img'] is image


@pytest.mark.parametrize('options', [dict(prob=1.5), dict(hue=0.6), dict(lowest_quality=0)])
def test_bad_arguments(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        ColourJitterJPEG(**options)
