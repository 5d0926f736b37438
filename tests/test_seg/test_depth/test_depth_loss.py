import math

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.models.losses import SiLogLoss
from mmseg.registry import MODELS

from mmdiffperc.seg.depth.depth_loss import MaskedSiLogLoss, count_of_maps_without_depth


@pytest.fixture
def loss():
    init_default_scope('mmseg')
    return MODELS.build(dict(type='MaskedSiLogLoss'))


@pytest.fixture
def batch():
    """Prediction and truth of three samples; some pixels of the truth are holes."""
    pred = torch.rand(3, 1, 4, 5) + 1
    target = torch.rand(3, 1, 4, 5) * 5 + 1
    target[:, :, 1, 2:4] = 0
    return pred.requires_grad_(), target


def test_is_mmsegs_loss_where_there_is_depth(loss, batch):
    assert isinstance(loss, MaskedSiLogLoss) and loss.loss_name == 'loss_silog'
    torch.testing.assert_close(loss(*batch), SiLogLoss()(*batch))
    log_ratio = math.log(3) - math.log(2)
    even = loss(torch.full((1, 1, 2, 3), 2.0), torch.full((1, 1, 2, 3), 3.0))
    assert even.item() == pytest.approx(log_ratio * math.sqrt(0.5), abs=1e-6)


@pytest.mark.parametrize('nothing', [0.0, -1.0, math.nan, math.inf])
def test_sample_without_depth_counts_for_nothing(loss, batch, nothing):
    pred, target = batch
    target[1] = nothing
    value = loss(pred, target)
    value.backward()
    torch.testing.assert_close(value, SiLogLoss()(pred[[0, 2]], target[[0, 2]]))
    assert torch.isfinite(pred.grad).all()
    assert pred.grad[1].abs().sum() == 0 and (pred.grad[[0, 2]].flatten(1).abs().sum(1) > 0).all()


def test_pooled_takes_all_pixels_together(batch):
    pred, target = batch
    target[1] = 0
    difference = (target.log() - pred.log())[target > 0]
    expected = (difference.square().mean() - 0.5 * difference.mean().square()).sqrt()
    torch.testing.assert_close(MaskedSiLogLoss(pooled=True)(pred, target), expected)
    assert not torch.isclose(expected, MaskedSiLogLoss()(pred, target))


def test_mmsegs_loss_needs_it(batch):
    """mmseg's loss counts a sample without depth as perfect, and an infinite pixel makes it NaN."""
    pred, target = batch
    target[1] = 0
    torch.testing.assert_close(SiLogLoss()(pred, target), SiLogLoss()(pred[[0, 2]], target[[0, 2]]) * 2 / 3)
    target[0, 0, 2, 3] = math.inf
    assert SiLogLoss()(pred, target).isnan()


def test_batch_without_depth_is_zero_and_keeps_its_graph(loss, batch):
    pred, target = batch
    value = loss(pred, 0 * target)
    value.backward()
    assert value.item() == 0 and pred.grad.abs().sum() == 0


def test_pixels_that_are_not_finite_are_holes(loss, batch):
    pred, target = batch
    broken = target.clone()
    broken[0, 0, 1, 2], broken[2, 0, 1, 3] = math.nan, math.inf
    torch.testing.assert_close(loss(pred, broken), loss(pred, target))


def test_weights_stay_with_their_samples(loss, batch):
    pred, target = batch
    target[0] = 0
    weighted = loss(pred, target, torch.tensor([7.0, 2.0, 3.0]), reduction_override='none')
    plain = SiLogLoss(reduction='none')(pred[1:], target[1:])
    torch.testing.assert_close(weighted[1:], plain * torch.tensor([2.0, 3.0]))
    assert weighted.shape == (3,) and weighted[0] == 0


@pytest.mark.parametrize(
    ('reduction', 'avg_factor', 'factor'), [('sum', None, 1), ('mean', 8.0, 1 / 8), ('mean', None, 0.5)]
)
def test_reductions_leave_samples_without_depth_out(loss, batch, reduction, avg_factor, factor):
    pred, target = batch
    target[0] = 0
    total = SiLogLoss(reduction='sum')(pred[1:], target[1:])
    reduced = loss(pred, target, avg_factor=avg_factor, reduction_override=reduction)
    torch.testing.assert_close(reduced, total * factor)


def test_masked_samples_are_counted(loss, batch):
    pred, target = batch
    loss(pred, target)
    assert count_of_maps_without_depth(loss)['maps_without_depth'] == 0
    target[:2] = 0
    loss(pred, target)
    before = count_of_maps_without_depth(torch.nn.ModuleList([SiLogLoss(), loss]))
    loss(pred, target)
    assert before == dict(maps_without_depth=2)
    assert count_of_maps_without_depth(loss) == dict(maps_without_depth=4)
    assert count_of_maps_without_depth(SiLogLoss()) == {} == loss.state_dict()


@pytest.mark.parametrize('pooled', [False, True])
def test_variance_focus(batch, pooled):
    """Near 1, a factor of all depth hardly counts, at 0 in full; ECoDepth multiplies the loss by 10."""
    _, target = batch
    scaled = 3 * target

    def of(focus, **options):
        return MaskedSiLogLoss(variance_focus=focus, pooled=pooled, **options)(scaled, target).item()

    assert of(0.99) == pytest.approx(0.1 * math.log(3), rel=1e-3)
    assert of(0.0) == pytest.approx(math.log(3), rel=1e-4)
    assert of(0.85, loss_weight=10.0) == pytest.approx(10 * math.log(3) * math.sqrt(0.15), rel=1e-4)
