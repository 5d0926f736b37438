import pytest
import torch
from torch import nn

from mmdiffperc.models import AttentiveRefinementNeck

WIDTHS = (8, 20, 12)


def pyramid(size=(9, 14)):
    features = []
    for channels in WIDTHS:
        features.append(torch.randn(2, channels, *size))
        size = tuple(-(-side // 2) for side in size)
    return features


@pytest.fixture
def neck():
    return AttentiveRefinementNeck(WIDTHS, num_groups=2, reduction=3)


def test_any_widths(neck):
    refined = neck(pyramid())
    assert [tuple(feature.shape[1:]) for feature in refined] == [(8, 9, 14), (20, 5, 7), (12, 3, 4)]
    assert neck.out_channels == neck.in_channels == WIDTHS
    assert all(
        isinstance(norm, nn.GroupNorm) and norm.num_groups == 2 for norm in neck.modules() if 'Norm' in str(type(norm))
    )
    assert [down.channel_attention[1].out_channels for down in neck.downs] == [8 // 3, 20 // 3]


def test_details_go_from_fine_to_coarse_only(neck):
    features = pyramid()
    before = neck(features)
    features[1] = features[1] + 1
    after = neck(features)
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1]) and not torch.allclose(before[2], after[2])


def test_a_reduction_by_its_formula(neck):
    down, feature = neck.downs[0].eval(), pyramid()[0]
    weighted = feature * torch.sigmoid(down.spatial_attention[0](feature))
    hidden = down.channel_attention[1](weighted.mean((2, 3), keepdim=True)).relu()
    weighted = weighted * torch.sigmoid(down.channel_attention[3](hidden))
    once = down.group_norm(down.conv1(weighted)).relu()
    torch.testing.assert_close(down(feature), down.group_norm(down.conv2(once)).relu())
    assert down(feature).shape == (2, 4, 5, 7)


def test_all_weights_get_a_gradient(neck):
    sum(feature.square().sum() for feature in neck(pyramid())).backward()
    assert all(weight.grad.abs().sum() > 0 for name, weight in neck.named_parameters())


@pytest.mark.parametrize(
    ('widths', 'num_groups', 'words'),
    [
        ((8, 21), 2, r'in_channels\[1\]=21.*num_groups=2'),
        ((6, 8), 2, r'in_channels\[0\] // 2=3.*num_groups=2'),
        ((64, 96), 20, r'in_channels\[0\]=64.*num_groups=20'),
    ],
)
def test_widths_that_the_groups_do_not_divide(widths, num_groups, words):
    with pytest.raises(ValueError, match=words):
        AttentiveRefinementNeck(widths, num_groups)


def test_features_of_other_sizes(neck):
    features = pyramid()
    with pytest.raises(ValueError, match=r'3 features.*\(9, 14\)'):
        neck(features[:2])
    with pytest.raises(ValueError, match=r'half the size.*\(6, 7\)'):
        neck([features[0], torch.randn(2, 20, 6, 7), features[2]])
