import pytest
import torch
from torch import nn

from mmdiffperc.seg import AnySizeDepthHead, MetricBinsDepthHead
from mmdiffperc.seg.depth.metric_bins_head import attract, log_binomial, log_binomial_softmax

CHANNELS = [16, 24, 32, 40]
VPD = dict(in_channels=CHANNELS, embed_dim=6, feature_dim=48, num_deconv_filters=(12, 10, 8))
BINS = dict(num_bins=7, bin_dims=5, bottleneck_dims=9, num_attractors=(4, 3, 2, 1))


@pytest.fixture
def head():
    return MetricBinsDepthHead(**VPD, **BINS)


def features(size=(128, 192)):
    return [
        torch.randn(2, width, *(side // stride for side in size))
        for width, stride in zip(CHANNELS, (8, 16, 32, 64), strict=True)
    ]


@pytest.mark.parametrize('size', [(128, 192), (100, 150), (97, 129)])
def test_depth_has_the_size_of_the_image(head, size):
    depth = head([*features(), size])
    assert depth.shape == (2, 1, *size)
    assert (depth > 0).all()


def test_joined_features_are_those_of_the_plain_head(head):
    """mmseg's forward joins in the same way: with a stride-32 border that is cut."""
    plain, inputs = AnySizeDepthHead(**VPD), features()
    kept = []
    plain.decoder.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
    plain([*inputs, (90, 150)])
    torch.testing.assert_close(plain.join_inside(inputs, (90, 150)), kept[0])
    assert kept[0].shape == (2, 48, 3, 5)


def test_only_the_mean_of_the_bins_is_depth(head):
    """With one bin left, every pixel has its centre, whatever the relative depth."""
    head = MetricBinsDepthHead(**VPD, **BINS | dict(num_bins=1)).eval()
    for part in (*head.attractors, head.seed_bin_regressor):
        nn.init.zeros_(part[-1].weight)
        nn.init.constant_(part[-1].bias, 2.0)
    expected = nn.functional.softplus(torch.tensor(2.0))
    depth = head([*features(), (128, 192)])
    torch.testing.assert_close(depth, expected.expand_as(depth))


def test_depth_is_not_bounded_by_the_largest_depth(head):
    nn.init.constant_(head.seed_bin_regressor[-1].bias, 50.0)
    assert head([*features(), (128, 192)]).max() > 2 * head.max_depth


def test_attractors_pull_the_centres_they_are_close_to():
    centres, attractors = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1), torch.tensor([1.1, 2.0]).view(1, 2, 1, 1)
    moved = attract(centres, attractors, 300.0).flatten()
    pull = sum(d / (1 + 300 * d**2) for d in (0.1, 1.0)) / 2
    assert moved[0].item() == pytest.approx(1 + pull, rel=1e-5)
    assert 4.999 < moved[1].item() < 5


def test_binomial_coefficients_by_stirling():
    found = log_binomial(torch.tensor(60.0), torch.tensor([0.0, 20.0, 30.0, 60.0]))
    exact = torch.tensor([0.0, 35.969, 39.311, 0.0])
    assert (found - exact).abs().max() < 3.0  # Stirling's formula without its square root
    assert found[0].abs() < 1e-4 and found[3].abs() < 1e-4


def test_shares_follow_the_probability():
    probability = torch.tensor([[0.0, 0.5, 1.0]])[None]
    shares = log_binomial_softmax(probability, torch.ones(1, 1, 3), 5)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 1, 3))
    assert shares.argmax(1).flatten().tolist() == [0, 2, 4]
    flat = log_binomial_softmax(probability, torch.full((1, 1, 3), 1000.0), 5)
    assert (flat - 0.2).abs().max() < 0.02


def test_every_weight_of_the_bins_gets_a_gradient(head):
    head([*features(), (128, 192)]).square().sum().backward()
    assert all(weight.grad is not None for weight in head.parameters())
    assert all(
        part[-1].weight.grad.abs().sum() > 0 for part in (*head.attractors, *head.projectors, head.seed_projector)
    )


def test_initialisation():
    """Normal 0.001 for the bottleneck, PyTorch's for the other layers of the bins, VPD's for the rest."""
    torch.manual_seed(0)
    head = MetricBinsDepthHead(**VPD, **BINS)
    head.init_weights()
    assert head.bottle_neck[0].weight.std().item() == pytest.approx(0.001, rel=0.1)
    bound = 1 / head.seed_projector[0].in_channels ** 0.5
    assert 0.8 * bound < head.seed_projector[0].weight.abs().max() <= bound
    assert head.conv_aggregation[0].weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(num_attractors=(4, 3, 2)), r'num_attractors=\(4, 3, 2\).*4 numbers'),
        (dict(min_temperature=60.0), r'min_temperature=60.0.*max_temperature=50.0'),
        (dict(attractor_strength=-1.0), 'attractor_strength'),
        (dict(num_bins=0), 'num_bins'),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        MetricBinsDepthHead(**VPD, **BINS | arguments)
