import numpy as np
import pytest
import torch

from mmdiffperc.generative import ColourJitterJPEG


@pytest.fixture
def results():
    """A smooth image in BGR, and a target that is the same picture in RGB."""
    torch.manual_seed(0)
    rows, columns = np.mgrid[0:24, 0:40]
    image = np.stack([4 * rows, 5 * columns, 120 + rows + columns], axis=2).astype(np.uint8)
    return dict(img=image, gt_target=image[..., ::-1].astype(np.float32) / 255)


def test_image_and_target_change_alike(results):
    before = results['img'].copy()
    found = ColourJitterJPEG()(results)
    assert found['img'].dtype == np.uint8 and found['gt_target'].dtype == np.float32
    assert (found['gt_target'] * 255 == found['img'][..., ::-1]).all() and (found['img'] != before).any()


def test_brightness_alone(results):
    """By the factor that torchvision draws; JPEG with quality 100 changes the colours by rounding only."""
    before = results['img'].astype(float)
    options = dict(jitter_prob=1.0, contrast=0.0, saturation=0.0, hue=0.0, lowest_quality=100)
    after = ColourJitterJPEG(brightness=0.2, **options)(results)['img'].astype(float)
    factor = after.mean() / before.mean()
    assert 0.8 <= factor <= 1.2 and abs(factor - 1) > 0.01
    assert abs(after - factor * before).mean() < 1


def test_low_quality_changes_more(results):
    before = results['img'].astype(int)
    errors = []
    for quality in (100, 70):
        torch.manual_seed(0)
        transform = ColourJitterJPEG(jitter_prob=0.0, lowest_quality=quality)
        errors.append(np.mean([abs(transform(dict(img=results['img']))['img'] - before).mean() for _ in range(8)]))
    assert 0 < errors[0] < errors[1]


def test_depth_is_no_colour(results):
    depth = np.linspace(0.5, 9, 24 * 40, dtype=np.float32).reshape(24, 40)
    before = results['img'].copy()
    found = ColourJitterJPEG()(dict(results, gt_target=depth))
    assert found['gt_target'] is depth and (found['img'] != before).any()


def test_off(results):
    """Not even rounded."""
    target = results['gt_target'] + np.float32(1e-4)
    found = ColourJitterJPEG(prob=0.0)(dict(results, gt_target=target))
    assert found['img'] is results['img'] and found['gt_target'] is target


@pytest.mark.parametrize('options', [dict(prob=1.5), dict(hue=0.6), dict(lowest_quality=0)])
def test_bad_arguments(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        ColourJitterJPEG(**options)
