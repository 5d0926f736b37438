import pytest
import torch
import torch.nn.functional as F

from mmdiffperc.models.layers import Recorder, feature_table
from mmdiffperc.models.layers.feature_resize import resize_features, resize_skip_connections
from mmdiffperc.weights.architectures import build_unet


def test_a_feature_that_fits_stays():
    feature = torch.rand(2, 3, 5, 7)
    assert resize_features([feature], [8], (40, 50))[0] is feature  # 50 / 8 is rounded up


def test_a_feature_grows_bilinearly():
    feature = torch.arange(4.0).view(1, 1, 1, 4)
    (found,) = resize_features([feature], [4], (4, 32))
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    torch.testing.assert_close(found, torch.tensor(expected).view(1, 1, 1, 8))


def test_a_feature_shrinks_to_means():
    feature = torch.arange(24.0).view(1, 1, 4, 6)
    (found,) = resize_features([feature], [16], (32, 48))
    assert found.tolist() == [[[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]]]


def test_means_of_sides_that_do_not_divide_evenly_overlap():
    (found,) = resize_features([torch.arange(5.0).view(1, 1, 5, 1)], [16], (40, 8))
    assert found.flatten().tolist() == [0.5, 2, 3.5]  # of cells 0 to 1, 1 to 3, and 3 to 4


def test_each_gets_its_own_size():
    features = [torch.rand(2, 3, 9, 13), torch.rand(2, 5, 5, 7)]
    found = resize_features(features, [4, 32], (72, 98))
    assert [tuple(feature.shape) for feature in found] == [(2, 3, 18, 25), (2, 5, 3, 4)]


def test_gradients_flow():
    feature = torch.rand(1, 2, 3, 4, requires_grad=True)
    resize_features([feature], [4], (24, 32))[0].sum().backward()
    torch.testing.assert_close(feature.grad.sum(), torch.tensor(6.0 * 8 * 2))


@pytest.fixture
def unet(arch):
    return build_unet(arch).eval()


@torch.no_grad()
def outputs_of(unet, size):
    torch.manual_seed(1)
    recorder = Recorder()
    for tap in feature_table(unet.config):
        recorder.watch(unet, tap.module)
    with recorder.recording() as record:
        output = unet(torch.randn(1, 4, *size), 1, torch.randn(1, 3, 12)).sample
    return output, *(record[tap.module] for tap in feature_table(unet.config))


def test_nothing_changes_where_all_sides_can_be_halved(unet):
    expected = outputs_of(unet, (8, 24))
    resize_skip_connections(unet)
    for found, value in zip(outputs_of(unet, (8, 24)), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=0)


def test_sizes_are_rounded_up(unet):
    """As the official code of MetaPrompts has it: latents of 20 x 16 come out as 24 x 16."""
    resize_skip_connections(unet)
    output, *features = outputs_of(unet, (20, 16))
    assert output.shape[2:] == (24, 16)
    assert [tuple(feature.shape[2:]) for feature in features] == [(24, 16), (12, 8), (6, 4), (3, 2)]


def test_the_skip_is_resized_bilinearly(unet):
    """The first layer of the second up block sees the upsampled feature, and beside it the skip resized to that."""
    resize_skip_connections(unet)
    seen = {}
    unet.down_blocks[2].register_forward_hook(lambda module, args, output: seen.update(skip=output[1][-2]))
    unet.up_blocks[0].register_forward_hook(lambda module, args, output: seen.update(feature=output))
    unet.up_blocks[1].resnets[0].register_forward_pre_hook(lambda module, args: seen.update(joined=args[0]))
    outputs_of(unet, (20, 16))
    assert seen['skip'].shape[2:] == (5, 4) and seen['feature'].shape[2:] == (6, 4)
    resized = F.interpolate(seen['skip'], (6, 4), mode='bilinear', align_corners=False)
    torch.testing.assert_close(seen['joined'], torch.cat([seen['feature'], resized], dim=1))
