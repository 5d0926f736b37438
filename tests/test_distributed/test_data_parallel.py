"""Two processes that share a batch train and evaluate as one process does with the whole of it."""

import numpy as np
import pytest
import torch

from .tiny_configs import BUILDERS, ITERATIONS

METRICS = dict(vpd='mIoU', metaprompts='mIoU', retinanet='coco/AR@100')
RUNS = {**{name: name for name in BUILDERS}, 'sharded': 'vpd'}  # and the run of one process that it equals


@pytest.mark.parametrize('name', RUNS)
def test_losses_are_equal(name, halves, whole):
    """The loss of the whole is the mean of those of its halves, from the first step to the last."""
    first, second = (half['losses'] for half in halves[name])
    expected = np.reshape(whole[RUNS[name]]['losses'], (ITERATIONS, -1)).mean(1)
    assert len(first) == ITERATIONS and first != second
    assert np.mean([first, second], axis=0) == pytest.approx(expected, rel=1e-4)
    assert abs(expected[-1] - expected[0]) > 1e-2 * expected[0]  # it has moved, so the gradients counted


@pytest.mark.parametrize('name', RUNS)
def test_weights_are_equal(name, halves, whole, last_weights):
    found, expected = last_weights(name, RUNS[name])
    assert set(found) == set(expected)
    for weight, value in expected.items():
        torch.testing.assert_close(found[weight], value, rtol=1e-3, atol=1e-5, msg=weight)


@pytest.mark.parametrize('name', RUNS)
def test_metrics_are_equal(name, halves, whole):
    """Though five images are three for the one process and two for the other."""
    expected = whole[RUNS[name]]['metrics']
    for half in halves[name]:
        assert half['metrics'] == pytest.approx(expected, rel=5e-3, abs=1e-3)
    assert expected[METRICS[RUNS[name]]] > 0
