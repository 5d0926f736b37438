import pytest
import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss

from mmdiffperc.seg.referring.masked_cross_entropy import MaskedCrossEntropyLoss

WEIGHTS = [0.9, 1.1, 0.4]


@pytest.fixture
def logits():
    return torch.randn(2, 3, 5, 4, requires_grad=True)


@pytest.fixture
def labels():
    return torch.randint(0, 3, (2, 5, 4))


def test_is_the_loss_of_mmseg_where_nothing_is_ignored(logits, labels):
    theirs = CrossEntropyLoss(class_weight=WEIGHTS, avg_non_ignore=True)(logits, labels, ignore_index=255)
    torch.testing.assert_close(MaskedCrossEntropyLoss(WEIGHTS)(logits, labels, ignore_index=255), theirs)


def test_ignored_pixels_count_for_nothing(logits, labels):
    labels[1, 3:] = 255
    loss = MaskedCrossEntropyLoss(WEIGHTS, loss_weight=2.0)(logits, labels, ignore_index=255)
    expected = F.cross_entropy(logits, labels, torch.tensor(WEIGHTS), ignore_index=255)
    torch.testing.assert_close(loss, 2 * expected)
    loss.backward()
    assert logits.grad[1, :, 3:].abs().max() == 0 and logits.grad[1, :, :3].abs().min() > 0


def test_nothing_but_ignored_pixels(logits):
    loss = MaskedCrossEntropyLoss(WEIGHTS)(logits, torch.full((2, 5, 4), 255), ignore_index=255)
    loss.backward()
    assert loss == 0 and logits.grad.abs().max() == 0
