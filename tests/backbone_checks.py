"""Checks and losses that the tests of backbones share."""

import copy

import torch


def loss_of(features):
    return sum((feature * torch.linspace(-1, 1, feature.numel()).view_as(feature)).mean() for feature in features)


def check_copy(backbone, images):
    """A deep copy, such as the moving average of a model, has separate taps and maps."""
    duplicate = copy.deepcopy(backbone)
    with torch.no_grad():
        expected = backbone(images)
        for weight in backbone.parameters():
            weight.zero_()
        backbone(images)
        for feature, same in zip(duplicate(images), expected, strict=True):
            assert torch.equal(feature, same)
