"""The training loss of the official code of VPD and MetaPrompts."""

import pytest

from mmdiffperc.seg.depth.depth_loss import MaskedSiLogLoss

from .detweights import make_depth_pair

RECORDED = 0.2676548957824707  # of both maps at once, lambda 0.5


def test_pooled_loss():
    pred, gt = (depth.unsqueeze(1) for depth in make_depth_pair('silog', (2, 24, 32), 10.0))
    assert MaskedSiLogLoss(pooled=True)(pred, gt).item() == pytest.approx(RECORDED, rel=1e-6)
