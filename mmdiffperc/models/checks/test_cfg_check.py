"""Check ``test_cfg``, the settings for testing, before the first image instead of after hours of training.

mmsegmentation's segmentors store ``test_cfg`` after their parts have been built, so it is checked at the first call,
which is the first iteration of a training run.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet

from .dispatcher import model_check

MODES = ('whole', 'slide', 'slide_flip', 'shift', 'blend', 'squash')
WITH_WINDOWS = ('slide', 'slide_flip', 'auto')


def check_inference_mode(test_cfg: Mapping, modes: Sequence[str]):
    """Refuse an unknown mode, or one whose windows are missing or leave gaps.

    Args:
        test_cfg (Mapping): Has the ``mode``. Sliding windows need ``crop_size`` and ``stride``, each (height, width)
            in pixels; shifted windows need ``num_windows``, blended windows ``crop_width`` and ``overlap``, and
            squashed images ``size``. ``window_batch`` is the number of windows in a batch. The mode ``'auto'`` also
            needs ``whole_pixels``, the largest number of pixels of an image without windows.
        modes (Sequence[str]): The modes that the model supports.

    Raises:
        ValueError: The mode is unknown; or its windows are missing, not in whole pixels, or further apart than their
            size; or a number is not a positive integer.
    """
    mode = test_cfg['mode']
    if mode not in modes:
        raise ValueError(f'test_cfg: expected mode to be one of {", ".join(modes)}; got {mode!r}')
    if mode in WITH_WINDOWS:
        _check_windows(test_cfg)
    for name, needed in (('window_batch', False), ('whole_pixels', mode == 'auto')):
        value = test_cfg.get(name)
        if (needed or value is not None) and not _is_count(value):
            raise ValueError(f'test_cfg: expected {name} to be a positive whole number; got {value!r}')
    if mode == 'shift' and not (_is_count(test_cfg.get('num_windows')) and test_cfg['num_windows'] > 1):
        raise ValueError(f"test_cfg: mode 'shift' needs num_windows of at least 2; got {dict(test_cfg)}")
    if mode == 'squash' and not _is_size(test_cfg.get('size')):
        raise ValueError(f"test_cfg: mode 'squash' needs size, a (height, width) in pixels; got {dict(test_cfg)}")
    if mode == 'blend' and not (_is_count(test_cfg.get('crop_width')) and _is_overlap(test_cfg)):
        raise ValueError(
            "test_cfg: mode 'blend' needs crop_width and overlap in pixels, with overlap no larger than half of "
            f'crop_width; got {dict(test_cfg)}'
        )


def _check_windows(test_cfg):
    crop_size, stride = test_cfg.get('crop_size'), test_cfg.get('stride')
    if not (_is_size(crop_size) and _is_size(stride)):
        raise ValueError(
            f'test_cfg: mode {test_cfg["mode"]!r} needs crop_size and stride, each (height, width) in pixels; got '
            f'{dict(test_cfg)}'
        )
    if any(step > side for step, side in zip(stride, crop_size, strict=True)):
        raise ValueError(
            f'test_cfg: stride={tuple(stride)} is larger than crop_size={tuple(crop_size)}, which leaves gaps between '
            'the windows: expected a stride no larger than crop_size'
        )


def _is_size(value) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_count, value))


def _is_count(value) -> bool:
    return type(value) is int and value > 0


def _is_overlap(test_cfg) -> bool:
    overlap = test_cfg.get('overlap')
    return type(overlap) is int and 0 <= 2 * overlap <= test_cfg['crop_width']


@model_check
def check_at_first_call(model: nn.Module, name: str, part: nn.Module | None):
    """Check the ``test_cfg`` of an mmsegmentation segmentor at its first call."""
    if isinstance(part, DiffusionUNet) and hasattr(type(model), 'whole_inference'):
        model.register_forward_pre_hook(_check_model)


def _check_model(model, args):
    if torch.compiler.is_compiling():
        return
    test_cfg = dict(mode='whole') | dict(model.test_cfg or {})
    modes = [mode for mode in MODES if hasattr(model, f'{mode}_inference')]
    check_inference_mode(test_cfg, getattr(model, 'test_modes', modes))
    if test_cfg.get('window_batch') and not hasattr(model, 'predict_windows'):
        raise ValueError(
            f'test_cfg: {type(model).__name__} has no window_batch={test_cfg["window_batch"]}: use type='
            "'DiffusionSegmentor' instead of EncoderDecoder, or leave it out"
        )
