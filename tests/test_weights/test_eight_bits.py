import pytest
import torch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.eight_bits import INTEGERS, SCALE, with_eight_bits

CONV = 'unet.conv_in.weight'


@pytest.fixture(scope='module')
def weights(arch):
    """Of a backbone, as a training leaves them."""
    backbone = DiffusionUNet(arch)
    return {name: weight.clone() for name, weight in backbone.state_dict().items()}


def test_integers_and_scales_by_hand():
    weight = torch.tensor([[1.27, -0.5, 0.004], [0, 0, 0]])
    bias = torch.tensor([3.0])
    named = {'backbone.unet.a': weight, 'backbone.unet.bias': bias, 'head.a': weight}
    stored = with_eight_bits(named)
    assert stored['backbone.unet.a' + INTEGERS].dtype == torch.int8
    assert stored['backbone.unet.a' + INTEGERS].tolist() == [[127, -50, 0], [0, 0, 0]]
    torch.testing.assert_close(stored['backbone.unet.a' + SCALE], torch.tensor([[0.01], [1]]))
    assert stored['backbone.unet.bias'] is bias and stored['head.a'] is weight and len(stored) == 4


def test_a_backbone_restores_its_weights(arch, weights):
    stored = with_eight_bits(weights, backbone='')
    assert CONV not in stored and stored[CONV + SCALE].shape == (weights[CONV].shape[0], 1, 1, 1)
    backbone = DiffusionUNet(arch)
    backbone.load_state_dict(stored)  # strict
    for name, weight in backbone.state_dict().items():
        rows = weights[name].flatten(1).abs().amax(1) if name + INTEGERS in stored else torch.zeros(1)
        error = (weight - weights[name]).reshape(len(rows), -1).abs().amax(1)
        assert (error <= rows * 0.5 / 127 * 1.001).all(), name
    assert CONV + INTEGERS in stored  # the checkpoint itself is unchanged


def test_an_incomplete_checkpoint_names_the_weight(arch, weights):
    stored = with_eight_bits(weights, backbone='')
    del stored[CONV + SCALE]
    with pytest.raises(RuntimeError, match=CONV):
        DiffusionUNet(arch).load_state_dict(stored)


def test_without_a_unet(weights):
    with pytest.raises(ValueError, match=r'model\.unet\.'):
        with_eight_bits(weights, backbone='model.')
