"""Two processes that share a batch train and evaluate as one process does with the whole of it."""

import numpy as np
import pytest
import torch

from mmdiffperc.compat.checkpoint import load_file

from .tiny_configs import BUILDERS, ITERATIONS

METRICS = dict(vpd='mIoU', metaprompts='mIoU', retinanet='coco/AR@100')
RUNS = {
    **{name: name for name in BUILDERS},
    'sharded': 'vpd',
    'fully_sharded': 'vpd',
    'low_memory': 'vpd',
}  # and the run of one process that it equals


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


def test_resumed_run_equals_the_undisturbed_one(halves, halves_folder):
    """Sharded, and momentum included."""
    for resumed, undisturbed in zip(halves['resumed'], halves['sharded'], strict=True):
        assert resumed['losses'] == pytest.approx(undisturbed['losses'][ITERATIONS // 2 :], rel=1e-5)
        assert resumed['metrics'] == undisturbed['metrics']
    found, expected = (
        load_file(halves_folder / name / f'iter_{ITERATIONS}.pth')['optimizer']['state']
        for name in ('resumed', 'sharded')
    )
    assert set(found) == set(expected) and 'backbone.unet.conv_in.weight' in expected
    for name, state in expected.items():
        torch.testing.assert_close(found[name]['momentum_buffer'], state['momentum_buffer'], msg=name)
