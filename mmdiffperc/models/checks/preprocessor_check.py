"""Check while a model is built that its ``data_preprocessor`` normalises images as in the pre-training."""

import torch
from mmengine.logging import MMLogger
from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.layers import LatentAutoencoder

from .dispatcher import model_check

HALF = 127.5  # of the range of 8-bit pixels
ADVICE = (
    'Stable Diffusion was trained on RGB in [-1, 1]: set mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5] and '
    'bgr_to_rgb=True in data_preprocessor'
)


@model_check
def check_data_preprocessor(model: nn.Module, name: str, part: nn.Module | None):
    """Warn if the images are normalised differently from those that Stable Diffusion was trained on.

    It is not an error, because a network may learn any normalisation.

    Raises:
        ValueError: There are neither 1 nor 3 means or standard deviations, a value is not finite, or a standard
            deviation is not positive.
    """
    preprocessor = model._modules.get('data_preprocessor')
    # Only the preprocessors of mmengine and of the hosts that normalise images have `_enable_normalize`.
    if not isinstance(part, (DiffusionUNet, LatentAutoencoder)) or not hasattr(preprocessor, '_enable_normalize'):
        return
    statistics = {key: getattr(preprocessor, key, None) for key in ('mean', 'std')}
    for key, values in statistics.items():
        if values is not None:
            _check(key, values)
    if differences := _differences(preprocessor, statistics):
        MMLogger.get_current_instance().warning(
            f'data_preprocessor {type(preprocessor).__name__} has {", ".join(differences)}. {ADVICE}, unless this '
            'is intended'
        )


def _check(key: str, values: torch.Tensor):
    if not _has_values(values):
        return
    values = values.flatten().tolist()
    limit = 0 if key == 'std' else -float('inf')
    if len(values) not in (1, 3) or not all(limit < value < float('inf') for value in values):
        kind = 'positive numbers' if key == 'std' else 'finite numbers'
        raise ValueError(f'data_preprocessor has {key}={values}: expected 3 {kind}. {ADVICE}')


def _differences(preprocessor, statistics) -> list[str]:
    found = [f'{key}={_shown(values)}' for key, values in statistics.items() if not _is_half(values)]
    converts = [getattr(preprocessor, name, None) for name in ('channel_conversion', '_channel_conversion')]
    return found if any(converts) else [*found, 'bgr_to_rgb=False']


def _is_half(values) -> bool:
    return values is not None and (not _has_values(values) or bool((values == HALF).all()))


def _has_values(tensor) -> bool:
    return type(tensor) is torch.Tensor and not tensor.is_meta  # fake tensors have none either


def _shown(values):
    return None if values is None else [round(value, 3) for value in values.flatten().tolist()]
