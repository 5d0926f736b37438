import pytest
import torch
import torch.nn.functional as F

from mmdiffperc.models.layers.deconv_tower import DeconvTower


@pytest.mark.parametrize(('kernel_size', 'padding'), [(2, 0), (4, 1)])
def test_doubles_the_size_with_every_layer(kernel_size, padding):
    tower = DeconvTower(3, 7, filters=(5, 4), kernel_size=kernel_size).eval()
    feature = torch.randn(2, 3, 4, 6)
    found = tower(feature)
    assert found.shape == (2, 7, 16, 24)
    for layer in (0, 3):
        weight = tower.deconv_layers[layer].weight
        feature = F.conv_transpose2d(feature, weight, stride=2, padding=padding)
        feature = F.relu(feature / (1 + 1e-5) ** 0.5)  # batch norm at its start
    conv, _, _ = tower.conv_layers
    expected = F.relu(F.conv2d(feature, conv.weight, conv.bias, padding=1) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(found, expected)
