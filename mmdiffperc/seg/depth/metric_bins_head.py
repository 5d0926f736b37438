"""The depth head of EVP: VPD's decoder, and depth as the mean of adaptive bins."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import normal_init
from mmseg.registry import MODELS
from torch import nn

from mmdiffperc.registry import is_pretrained
from mmdiffperc.validation import Listed, PositiveFloat, PositiveInt, Width, validated

from .depth_head import AnySizeDepthHead

EPSILON = 1e-4
STIRLING_EPSILON = 1e-7


@MODELS.register_module()
@validated
class MetricBinsDepthHead(AnySizeDepthHead):
    """VPD's depth head, whose depth becomes one of the inputs of `ZoeDepth <https://arxiv.org/abs/2302.12288>`_'s bins.

    A map of bin centres starts at the coarsest feature and is refined at each feature of the decoder, by attractors
    ``A`` that pull the centres: ``c += mean_i d_i / (1 + strength * d_i^2)`` with ``d_i = A_i - c``. Depth is the mean
    of the centres, weighted by a binomial distribution whose mode and temperature each pixel chooses. It is positive,
    but not bounded by ``max_depth``, and only it is supervised.

    From the depth estimation of `EVP <https://arxiv.org/abs/2312.08548>`_. Its configuration names a strength of 1000,
    which its code never passes on, so that 300 is what it was trained with.

    Args:
        num_bins (int): Number of bins. Defaults to 64.
        bin_dims (int): Width of the bin embeddings. Defaults to 128.
        bottleneck_dims (int): Width of the bottleneck before the first bins. Defaults to 256.
        num_attractors (Sequence[int]): Number of attractors at each feature of the decoder, coarsest first. Defaults to
            (16, 8, 4, 1).
        attractor_strength (float): How fast the pull of an attractor falls with its distance. Defaults to 300.
        min_temperature (float): Lowest temperature of the distribution. Defaults to 0.0212.
        max_temperature (float): Highest temperature. Defaults to 50.
        **kwargs: Arguments of :class:`AnySizeDepthHead`.

    Raises:
        ValueError: The number of attractors does not fit the decoder, or the temperatures are out of order.
    """

    def __init__(
        self,
        num_bins: PositiveInt = 64,
        bin_dims: Width = 128,
        bottleneck_dims: Width = 256,
        num_attractors: Listed[PositiveInt] = (16, 8, 4, 1),
        attractor_strength: PositiveFloat = 300.0,
        min_temperature: PositiveFloat = 0.0212,
        max_temperature: PositiveFloat = 50.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if min_temperature >= max_temperature:
            raise ValueError(f'min_temperature={min_temperature} must be lower than max_temperature={max_temperature}')
        decoder = self.decoder
        widths = [layer.out_channels for layer in decoder.deconv_layers if isinstance(layer, nn.ConvTranspose2d)]
        widths.append(decoder.conv_layers[0].out_channels)
        if len(num_attractors) != len(widths):
            raise ValueError(
                f'num_attractors={tuple(num_attractors)}: expected {len(widths)} numbers, one for each feature of the '
                'decoder'
            )
        self.attractor_strength = attractor_strength
        self.bottle_neck = nn.Sequential(
            nn.Conv2d(decoder.in_channels, bottleneck_dims, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(bottleneck_dims, bottleneck_dims, 3, padding=1),
        )
        self.seed_bin_regressor = two_layers(bottleneck_dims, bottleneck_dims, num_bins)
        self.seed_projector = two_layers(bottleneck_dims, bin_dims, bin_dims)
        self.projectors = nn.ModuleList(two_layers(width, bin_dims, bin_dims) for width in widths)
        self.attractors = nn.ModuleList(two_layers(bin_dims, bin_dims, number) for number in num_attractors)
        self.distribution = BinomialDistribution(widths[-1] + 1 + bin_dims, num_bins, min_temperature, max_temperature)

    def init_weights(self):
        """Initialise the weights as the official code does; the layers of the bins keep PyTorch's initialisation."""
        super().init_weights()
        if self.init_cfg and is_pretrained(self.init_cfg if isinstance(self.init_cfg, dict) else {}):
            return
        bins = (self.seed_bin_regressor, self.seed_projector, self.projectors, self.attractors, self.distribution)
        for layer in (layer for part in bins for layer in part.modules() if isinstance(layer, nn.Conv2d)):
            layer.reset_parameters()
        for layer in (self.bottle_neck[0], self.bottle_neck[-1]):
            normal_init(layer, std=0.001)

    def forward(self, inputs: Sequence) -> torch.Tensor:
        """Predict depth.

        Args:
            inputs (Sequence): The four features of the padded image, finest first, and then the (height, width) of the
                image.

        Returns:
            Tensor: Depth in metres ``(B, 1, H, W)``.
        """
        *features, size = inputs
        joined = self.join_inside(features, size)  # (B, feature_dim, H / 32, W / 32)
        *decoded, finest = self._decode(joined)
        relative = self.depth_pred_layer(finest).sigmoid() * self.max_depth
        centres, embedding = self._refine_bins(self.bottle_neck(joined), decoded)
        embedding, centres = (resize_aligned(each, finest.shape[-2:]) for each in (embedding, centres))
        shares = self.distribution(torch.cat([finest, relative, embedding], dim=1))
        depth = (shares * centres).sum(1, keepdim=True)
        return depth[..., : size[0], : size[1]]

    def _decode(self, joined: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of the decoder at strides 16, 8, 4, 2 and 1."""
        decoder, decoded = self.decoder, []
        feature = joined
        for layer in decoder.deconv_layers:
            feature = layer(feature)
            if isinstance(layer, nn.ReLU):
                decoded.append(feature)
        decoded.append(decoder.up_sample(decoder.conv_layers(feature)))
        return [*decoded, decoder.up_sample(decoded[-1])]

    def _refine_bins(self, feature: torch.Tensor, decoded: Sequence[torch.Tensor]):
        """Return the bin centres ``(B, num_bins, h, w)`` and the bin embedding at the size of the last feature."""
        centres = F.softplus(self.seed_bin_regressor(feature))
        embedding = self.seed_projector(feature)
        for projector, attractor, finer in zip(self.projectors, self.attractors, decoded, strict=True):
            own, size = projector(finer), finer.shape[-2:]
            pulls = F.softplus(attractor(own + resize_aligned(embedding, size)))  # (B, attractors, h, w)
            centres = attract(resize_aligned(centres, size), pulls, self.attractor_strength)
            embedding = own
        return centres, embedding


class BinomialDistribution(nn.Module):
    """Share of each bin at each pixel: a softmax of the logarithms of a binomial distribution, over a temperature.

    A perceptron computes two numbers for the probability and two for the temperature; each pair is normalised by its
    sum. Binomial coefficients follow Stirling's formula.

    Args:
        in_channels (int): Channels of the feature.
        num_bins (int): Number of bins.
        min_temperature (float): Lowest temperature.
        max_temperature (float): Highest temperature.
    """

    def __init__(self, in_channels: int, num_bins: int, min_temperature: float, max_temperature: float):
        super().__init__()
        hidden = in_channels // 2
        self.mlp = nn.Sequential(nn.Conv2d(in_channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, 4, 1), nn.Softplus())
        self.num_bins = num_bins
        self.min_temperature = min_temperature
        self.max_temperature = max_temperature

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map a feature ``(B, C, H, W)`` to shares ``(B, num_bins, H, W)``."""
        first, second = (self.mlp(feature) + EPSILON).unflatten(1, (2, 2)).unbind(2)  # (B, 2, H, W)
        probability, heat = (first / (first + second)).unbind(1)  # (B, H, W)
        span = self.max_temperature - self.min_temperature
        return log_binomial_softmax(probability, span * heat + self.min_temperature, self.num_bins)


def log_binomial_softmax(probability: torch.Tensor, temperature: torch.Tensor, num_bins: int) -> torch.Tensor:
    """Return the softmax of the log-probabilities of a binomial distribution, divided by a temperature.

    Args:
        probability (Tensor): ``(B, H, W)``.
        temperature (Tensor): ``(B, H, W)``.
        num_bins (int): Number of outcomes.

    Returns:
        Tensor: ``(B, num_bins, H, W)``.
    """
    outcomes = torch.arange(num_bins, device=probability.device, dtype=probability.dtype)[:, None, None]
    trials = torch.full_like(outcomes[:1], num_bins - 1)
    success = probability[:, None].clamp(EPSILON, 1)
    failure = (1 - probability[:, None]).clamp(EPSILON, 1)
    logarithms = log_binomial(trials, outcomes) + outcomes * success.log() + (trials - outcomes) * failure.log()
    return (logarithms / temperature[:, None]).softmax(1)


def log_binomial(trials: torch.Tensor, successes: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of a binomial coefficient by Stirling's formula ``log(n!) = n log(n) - n``."""
    trials, successes = trials + STIRLING_EPSILON, successes + STIRLING_EPSILON
    failures = trials - successes
    return trials * trials.log() - successes * successes.log() - failures * (failures + STIRLING_EPSILON).log()


def attract(centres: torch.Tensor, attractors: torch.Tensor, strength: float) -> torch.Tensor:
    """Pull bin centres ``(B, N, h, w)`` towards attractors ``(B, A, h, w)``, the more the closer they are."""
    moves = 0
    for attractor in attractors.unbind(1):  # one after the other: all at once would need A times the memory
        distance = attractor[:, None] - centres
        moves = moves + distance / (1 + strength * distance**2)
    return centres + moves / attractors.shape[1]


def two_layers(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Build a perceptron of each cell: two 1x1 convolutions with ReLU between them."""
    return nn.Sequential(nn.Conv2d(in_channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, out_channels, 1))


def resize_aligned(feature: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize bilinearly, with aligned corners."""
    return F.interpolate(feature, tuple(size), mode='bilinear', align_corners=True)
