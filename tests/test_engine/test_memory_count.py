"""The count of a step equals one by hand, for models small enough to do that."""

from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdiffperc.engine.memory_count import HOST, count_step

SIZE = 1000 * 1024  # bytes of each weight in single precision
SMALL = 8192  # all scalars together: each takes 512 bytes
FUSED = dict(optimizer=dict(type='AdamW', lr=1e-3, fused=True))
HALF = dict(dtype='bfloat16', bfloat16_weights=['weights'])


class Weights(nn.Module):
    """Three weights of one size, whose gradients take no temporaries, and a frozen one."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(torch.zeros(1000, 256) for _ in range(3))
        self.frozen = nn.Parameter(torch.zeros(1000, 256), requires_grad=False)


class Blocks(nn.Module):
    """Images through a convolution, a norm and another convolution."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1, bias=False))


def build(options: dict, model: nn.Module):
    settings = dict(type='LowMemoryOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)) | options
    return build_optim_wrapper(model, ConfigDict(settings))


def sum_of_weights(model: Weights):
    return lambda: sum(weight.sum() for weight in model.weights)


def count(loss=sum_of_weights, kind=Weights, **options):
    with torch.device('meta'):
        model = kind()
    return count_step(model, partial(build, options), loss)


def in_sizes(number: int) -> float:
    return number / SIZE


@pytest.mark.parametrize(
    ('options', 'weights', 'state', 'gradients', 'peak', 'host'),
    [
        (FUSED, 4, 6, 3, 4 + 6 + 3, 0),
        ({}, 4, 6, 3, 4 + 6 + 3 + 3, 0),  # as on a GPU: the multi-tensor update has a temporary copy of everything
        (dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, foreach=False)), 4, 3, 3, 4 + 3 + 3, 0),
        (FUSED | dict(step_in_backward=True), 4, 6, 0, 4 + 6 + 1, 0),
        (FUSED | dict(offload=str(HOST)), 4, 0, 0, 4 + 1, 3 + 6 + 3),
        # An update holds a float32 copy of a weight and of its gradient; before the last one, all gradients are there.
        (FUSED | HALF, 2.5, 6, 1.5, 2.5 + 6 + 1.5 + 2, 0),
        (FUSED | HALF | dict(step_in_backward=True), 2.5, 6, 0, 2.5 + 6 + 0.5 + 2, 0),
    ],
)
def test_weights_and_optimizer(options, weights, state, gradients, peak, host):
    counted = count(**options)
    assert in_sizes(counted.weights) == weights
    assert counted.optimizer_state == pytest.approx(state * SIZE, abs=SMALL)
    assert in_sizes(counted.gradients) == gradients
    assert counted.peak == pytest.approx(peak * SIZE, abs=SMALL)
    assert counted.host == pytest.approx(host * SIZE, abs=SMALL)


def test_state_of_8_bits():
    """Two bytes a weight, a scale of four bytes for each block of 256, and tables that all weights share."""
    counted = count(optimizer=dict(type='AdamW8bit', lr=1e-3))
    expected = 3 * SIZE / 4 * (2 + 2 * 4 / 256)
    assert counted.optimizer_state == pytest.approx(expected, abs=SMALL)
    assert counted.peak == pytest.approx(4 * SIZE + expected + 3 * SIZE, abs=SMALL)


def test_accumulated_gradients_exist_during_the_forward_pass():
    """So does the optimizer's state: the step is one in the middle of training."""

    def wide(model):
        return lambda: (model.weights[0].repeat(20, 1) ** 2).sum()

    alone, accumulated = (count(wide, **FUSED, accumulative_counts=batches).peak for batches in (1, 2))
    # The highest sum is that of the backward pass, in which the gradient of one of three weights is made.
    assert accumulated - alone == pytest.approx(3 * SIZE, abs=SMALL)
    assert count(wide, **FUSED).activations == pytest.approx(20 * SIZE, abs=SMALL)


@pytest.mark.parametrize(
    ('dtype', 'bytes_per_pixel'),
    [
        # The norm and the second convolution keep what they get.
        ('float32', 4 * (8 + 8)),
        # A norm computes in single precision: cast to it, and back for the convolution.
        ('bfloat16', 2 * 3 + 4 * 8 + 2 * 8),
    ],
)
def test_activations(dtype, bytes_per_pixel):
    def loss(model):
        images = torch.empty(2, 3, 64, 96)  # there from the start
        return lambda: model.layers(images).sum()

    counted = count(loss, Blocks, dtype=dtype)
    assert counted.activations == pytest.approx(2 * 64 * 96 * bytes_per_pixel, abs=SMALL)
    assert counted.peak > 2 * 64 * 96 * (bytes_per_pixel + 3 * 4)


def test_values_are_the_worst_case():
    """A mask selects everything, a number is 1, and a test fails."""
    seen = []

    def loss(model):
        def compute():
            weight = model.weights[0]
            seen.append((weight[weight > 0].shape, weight.masked_select(weight > 0).shape, weight.nonzero().shape))
            seen.append((weight.sum().item(), (weight > 0).sum().item(), bool((weight > 0).any())))
            return weight[weight > 0].sum()

        return compute

    count(loss)
    assert seen == [((256_000,), (256_000,), (256_000, 2)), (1.0, 1, False)]


def test_model_is_left_without_hooks_of_others():
    """The count works on its own model; the classes of PyTorch are as before."""
    before = torch.Tensor.register_hook
    count()
    assert torch.Tensor.register_hook is before
    assert isinstance(torch.zeros(1) + 1, torch.Tensor) and (torch.zeros(1) + 1).item() == 1
