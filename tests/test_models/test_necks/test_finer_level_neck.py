import torch

from mmdiffperc.models import FinerLevelNeck
from mmdiffperc.registry import MODELS

CHANNELS, SIZES = (6, 5, 7), ((6, 10), (3, 5), (2, 3))


def build():
    neck = MODELS.build(dict(type='FinerLevelNeck', in_channels=list(CHANNELS)))
    return neck, [torch.randn(2, channels, *size) for channels, size in zip(CHANNELS, SIZES, strict=True)]


def test_a_cell_becomes_two_by_two():
    neck, features = build()
    finer, *others = neck(tuple(features))
    assert isinstance(neck, FinerLevelNeck) and neck.in_channels == CHANNELS and neck.out_channels == (3, *CHANNELS)
    assert all(other is feature for other, feature in zip(others, features, strict=True))
    cells = torch.einsum('bihw,ioyx->bohywx', features[0], neck.upsample.weight)  # (2, 3, 6, 2, 10, 2)
    torch.testing.assert_close(finer, cells.reshape(2, 3, 12, 20) + neck.upsample.bias[:, None, None])


def test_gradients_reach_the_finest_feature():
    neck, features = build()
    features[0].requires_grad_()
    neck(features)[0].square().sum().backward()
    assert all(torch.is_nonzero(tensor.grad.abs().sum()) for tensor in (features[0], *neck.parameters()))
