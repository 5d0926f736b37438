"""Values by hand; invalid pixels hold NaN, infinity or large numbers, and never matter."""

import math

import pytest
import torch
from mmengine.registry import MODELS

from mmdiffperc.generative.losses import (
    AngularLoss,
    GradientMatchingLoss,
    ImageLoss,
    LatentLoss,
    ScaleShiftInvariantLoss,
    pool_valid,
)

EVERY_LOSS = [
    LatentLoss(),
    ImageLoss('l1'),
    ImageLoss('l2'),
    ScaleShiftInvariantLoss(),
    ScaleShiftInvariantLoss('median'),
    GradientMatchingLoss(),
    GradientMatchingLoss(method='median'),
    GradientMatchingLoss(method=None),
    AngularLoss(),
]
every_loss = pytest.mark.parametrize('loss', EVERY_LOSS, ids=repr)


def row(*values):
    """A map ``(1, 1, 1, W)``."""
    return torch.tensor(values)[None, None, None]


def all_of(maps):
    return torch.ones_like(maps[:, :1], dtype=torch.bool)


def random_batch(loss):
    torch.manual_seed(0)
    channels = 3 if isinstance(loss, AngularLoss) else 1
    pred, target = torch.randn(2, 3, channels, 6, 10)
    return pred.requires_grad_(), target, torch.rand(3, 1, 6, 10) > 0.4


@every_loss
@pytest.mark.parametrize('junk', [math.nan, math.inf, -1e30, 0.0])
def test_invalid_pixels_have_no_influence(loss, junk):
    pred, target, valid = random_batch(loss)
    expected = loss(pred, target, valid)
    (gradient,) = torch.autograd.grad(expected, pred)
    assert expected > 0 and gradient[valid.expand_as(pred)].any()
    spoilt = pred.detach().where(valid, junk).requires_grad_()
    found = loss(spoilt, target.where(valid, junk), valid)
    torch.testing.assert_close(found, expected)
    found.backward()
    torch.testing.assert_close(spoilt.grad, gradient)
    assert not gradient[~valid.expand_as(pred)].any()


@every_loss
def test_image_without_valid_pixels_contributes_nothing(loss):
    pred, target, valid = random_batch(loss)
    valid[1] = False
    others = [0, 2]
    torch.testing.assert_close(loss(pred, target, valid), loss(pred[others], target[others], valid[others]))
    nothing = loss(pred, target, torch.zeros_like(valid))
    nothing.backward()
    assert nothing == 0 and not pred.grad.any() and pred.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize('size', [(1, 1), (1, 5), (3, 1)])
def test_constant_and_tiny_maps(loss, size):
    """Such as a prediction at the start, or a scale at which nothing is left: finite values and gradients."""
    channels = 3 if isinstance(loss, AngularLoss) else 1
    pred = torch.full((2, channels, *size), 0.3, requires_grad=True)
    result = loss(pred, torch.randn(2, channels, *size), all_of(pred))
    result.backward()
    assert result.isfinite() and pred.grad.isfinite().all()


def test_means_over_the_valid_pixels_of_a_batch():
    pred, target = torch.tensor([1.0, 2, 4]), torch.zeros(3)
    valid = torch.tensor([True, False, True])
    pred, target, valid = (each.reshape(3, 1, 1, 1) for each in (pred, target, valid))
    assert LatentLoss()(pred, target, valid).item() == pytest.approx((1 + 16) / 2)
    assert ImageLoss('l1')(pred, target, valid).item() == pytest.approx((1 + 4) / 2)
    assert ImageLoss('l2', loss_weight=3.0)(pred, target, valid).item() == pytest.approx(3 * (1 + 16) / 2)


def test_scale_and_shift_of_each_image():
    target = torch.randn(2, 1, 3, 5)
    scales, shifts = torch.tensor([2.0, 0.1]).reshape(2, 1, 1, 1), torch.tensor([-1.0, 5]).reshape(2, 1, 1, 1)
    for method in ('least_squares', 'median'):
        loss = ScaleShiftInvariantLoss(method)(target * scales + shifts, target, all_of(target))
        assert loss.item() == pytest.approx(0, abs=1e-5)


def test_least_squares_by_hand():
    """The line through (0, 0), (1, 3), (2, 0) is constant, 1; with (3, 5) it would have the slope 1.2."""
    pred, target = row(0.0, 1, 2, 3), row(0.0, 3, 0, 5)
    valid = row(True, True, True, False)
    assert ScaleShiftInvariantLoss()(pred, target, valid).item() == pytest.approx((1 + 2 + 1) / 3)
    assert ScaleShiftInvariantLoss()(pred, target, all_of(pred)).item() == pytest.approx((0.2 + 1.6 + 2.6 + 1.2) / 4)


def test_median_by_hand():
    """Medians 1 and 2, mean deviations 4 / 3 and 1: the maps become (-0.75, 0, 2.25) and (-1, 0, 2)."""
    pred, target = row(0.0, 1, 4, 99), row(1.0, 2, 4, -7)
    assert ScaleShiftInvariantLoss('median')(pred, target, row(True, True, True, False)).item() == pytest.approx(
        (0.25 + 0 + 0.25) / 3
    )


def test_gradients_at_two_scales():
    """Errors 0 1 3 / 0 0 3: differences 1 2 0 3 along x and 0 1 0 along y; then 0 3, in a single row."""
    error = torch.tensor([[[[0.0, 1, 3], [0, 0, 3]]]])
    loss = GradientMatchingLoss(2, method=None)
    assert loss(error, 0 * error, all_of(error)).item() == pytest.approx(6 / 4 + 1 / 3 + 3)


def test_gradients_of_valid_neighbours():
    error, valid = row(0.0, 1, 5, 7), row(True, True, False, True)
    assert GradientMatchingLoss(1, method=None)(error, 0 * error, valid).item() == pytest.approx(1)


def test_angles():
    angle = math.radians(60)
    pred = torch.tensor([[0.0, 0, 2], [0, math.sin(angle), math.cos(angle)], [0, 0, -1], [0, 0, 0]])
    pred = pred.T.reshape(1, 3, 1, 4).requires_grad_()
    target = torch.tensor([0.0, 0, 1]).reshape(1, 3, 1, 1).expand(1, 3, 1, 4)
    loss = AngularLoss()(pred, target, all_of(target))
    loss.backward()
    assert loss.item() == pytest.approx((0 + angle + math.pi) / 3) and pred.grad.isfinite().all()


def test_latents_of_which_all_pixels_are_valid():
    valid = torch.ones(1, 1, 9, 16, dtype=torch.bool)
    valid[..., 7, 8] = False
    assert pool_valid(valid, 8).tolist() == [[[[True, False], [True, True]]]]  # the last row has one row of pixels


def test_names():
    loss = MODELS.build(dict(type='ImageLoss', norm='l2', loss_weight=0.5, loss_name='loss_albedo'))
    assert (loss.loss_name, loss.space, LatentLoss().loss_name) == ('loss_albedo', 'images', 'loss_latents')


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: ImageLoss('l3'), "norm='l3'.*'l1'.*'l2'"),
        (lambda: ImageLoss(loss_name='depth'), "loss_name='depth'.*'loss'"),
        (lambda: LatentLoss(-1.0), 'loss_weight=-1.0'),
        (lambda: GradientMatchingLoss(0), 'num_scales=0'),
        (lambda: ScaleShiftInvariantLoss(None), 'method=None'),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
