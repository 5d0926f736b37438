import pytest
import torch
from mmengine.structures import PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import nn

from mmdiffperc.pose import InstanceNormHeatmapHead

LAYERS = dict(deconv_out_channels=(6, 10), deconv_kernel_sizes=(4, 3), conv_out_channels=(8,), conv_kernel_sizes=(3,))


@pytest.fixture
def head():
    return InstanceNormHeatmapHead(in_channels=12, out_channels=5, **LAYERS)


def test_layers_are_those_of_mmpose_but_for_norms_and_activations(head):
    plain = HeatmapHead(in_channels=12, out_channels=5, **LAYERS)
    for ours, theirs in zip(head.modules(), plain.modules(), strict=True):
        if isinstance(theirs, nn.BatchNorm2d):
            assert isinstance(ours, nn.InstanceNorm2d) and not ours.affine and not ours.track_running_stats
            assert (ours.num_features, ours.eps) == (theirs.num_features, 1e-5)
        elif isinstance(theirs, nn.ReLU):
            assert isinstance(ours, nn.SiLU)
        elif ours is not head:
            assert type(ours) is type(theirs)


def test_no_sample_depends_on_another(head):
    features = torch.randn(3, 12, 6, 9)
    for mode in (True, False):
        head.train(mode)
        heatmaps = head((features,))
        assert heatmaps.shape == (3, 5, 24, 36)
        torch.testing.assert_close(head((features[1:2],)), heatmaps[1:2])
        torch.testing.assert_close(head((torch.randn(1, 12, 6, 9), features)), heatmaps)  # the last one counts


def test_initialisation(head):
    head.init_weights()
    for layer in head.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer.weight.numel() > 300:
            assert layer.weight.std().item() == pytest.approx(0.001, rel=0.15)


def test_it_has_a_name_in_configs():
    built = MODELS.build(dict(type='InstanceNormHeatmapHead', in_channels=4, out_channels=3, deconv_out_channels=None))
    assert isinstance(built.deconv_layers, nn.Identity) and isinstance(built.conv_layers, nn.Identity)


def test_data_with_another_number_of_keypoints(head):
    sample = PoseDataSample()
    sample.gt_fields = PixelData(heatmaps=torch.rand(17, 24, 36))
    with pytest.raises(ValueError, match='17 keypoints.*out_channels=5'):
        head.loss((torch.randn(1, 12, 6, 9),), [sample])
