import math

import torch

from mmdiffperc.models import TextAdapter


def test_adds_gamma_times_the_mlp():
    adapter = TextAdapter(6)
    adapter.gamma.data = torch.randn(6)
    texts = torch.randn(2, 3, 6)
    first, _, second = adapter.mlp
    hidden = texts @ first.weight.T + first.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2  # the exact GELU
    torch.testing.assert_close(adapter(texts), texts + adapter.gamma * (hidden @ second.weight.T + second.bias))


def test_starts_close_to_the_identity():
    adapter = TextAdapter(5)
    torch.testing.assert_close(adapter.gamma.data, torch.full((5,), 1e-4))
    torch.testing.assert_close(TextAdapter(5, gamma=0.3).gamma.data, torch.full((5,), 0.3))


def test_the_mlp_alone():
    adapter = TextAdapter(6, gamma=None)
    texts = torch.randn(2, 3, 6)
    torch.testing.assert_close(adapter(texts), adapter.mlp(texts))
    assert {name.partition('.')[0] for name, _ in adapter.named_parameters()} == {'mlp'}
