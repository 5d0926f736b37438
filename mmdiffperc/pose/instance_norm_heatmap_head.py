"""A heatmap head that normalises every sample on its own."""

from collections.abc import Sequence

import torch
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from torch import nn

from mmdiffperc.validation import validated


@MODELS.register_module()
@validated
class InstanceNormHeatmapHead(HeatmapHead):
    """mmpose's ``HeatmapHead`` with instance normalisation and SiLU instead of batch normalisation and ReLU.

    Nothing in it depends on the other samples of a batch or on statistics of the training data. The normalisation has
    no weights. From `SDPose <https://arxiv.org/abs/2509.24980>`_, which has one transposed convolution of 4x4 and one
    convolution of 1x1, both as wide as the feature.

    Weights of this head do not fit mmpose's own, and the other way round; loading them is an error.

    Args:
        **kwargs: Arguments of mmpose's ``HeatmapHead``.
    """

    def loss(
        self, feats: tuple[torch.Tensor, ...], batch_data_samples: Sequence, train_cfg: dict | None = None
    ) -> dict:
        """Compute the losses, as mmpose's head does.

        Raises:
            ValueError: The data have another number of keypoints than the head.
        """
        number = len(batch_data_samples[0].gt_fields.heatmaps)
        if number != self.out_channels:
            raise ValueError(
                f'The data have {number} keypoints, but the head {type(self).__name__} has out_channels='
                f'{self.out_channels}: set out_channels={number}, or choose another data set'
            )
        return super().loss(feats, batch_data_samples, train_cfg or {})

    @property
    def default_init_cfg(self) -> list[dict]:
        """mmpose's initialisation, without the batch normalisation."""
        return [dict(type='Normal', layer=['Conv2d', 'ConvTranspose2d'], std=0.001)]

    def _make_conv_layers(self, *args, **kwargs) -> nn.Sequential:
        return _normalise_samples(super()._make_conv_layers(*args, **kwargs))

    def _make_deconv_layers(self, *args, **kwargs) -> nn.Sequential:
        return _normalise_samples(super()._make_deconv_layers(*args, **kwargs))


def _normalise_samples(layers: nn.Sequential) -> nn.Sequential:
    """Replace the batch normalisations and activations that mmpose's head has built in."""
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[index] = nn.InstanceNorm2d(layer.num_features)
        elif isinstance(layer, nn.ReLU):
            layers[index] = nn.SiLU(inplace=True)
    return layers
