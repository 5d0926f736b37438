"""Check how a model is tested, ``test_cfg``, before its first image and not after hours of training.

mmsegmentation's models keep ``test_cfg`` when their parts have been built, so those of its own classes are checked at
their first call, which in training is the first iteration.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from mmdiffperc.models.backbones import DiffusionUNet

MODES = ('whole', 'slide', 'slide_flip', 'shift')
SLIDING = ('slide', 'slide_flip')


def check_inference_mode(test_cfg: Mapping, modes: Sequence[str]):
    """Refuse a mode that does not exist, or whose windows are missing or leave gaps.

    Args:
        test_cfg (Mapping): With the ``mode``; windows that slide have ``crop_size`` and ``stride``, in pixels of height
            and width, those that shift ``num_windows``.
        modes (Sequence[str]): What the model can do.

    Raises:
        ValueError: There is no such mode, or its windows are missing, not numbers of pixels, or further apart than
            they are large.
    """
    mode = test_cfg['mode']
    if mode not in modes:
        raise ValueError(f'test_cfg: mode is one of {", ".join(modes)}; got {mode!r}')
    if mode in SLIDING:
        _check_windows(test_cfg)
    if mode == 'shift' and not (_is_count(test_cfg.get('num_windows')) and test_cfg['num_windows'] > 1):
        raise ValueError(f"test_cfg: mode 'shift' needs num_windows of at least 2; got {dict(test_cfg)}")


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
            'the windows: expected a stride of at most the size'
        )


def _is_size(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_count, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def check_at_first_call(model: nn.Module, name: str, part: nn.Module | None):
    """Have the ``test_cfg`` of a segmentor of mmsegmentation checked when it is first called.

    Args:
        model (nn.Module): The segmentor that the backbone becomes a part of.
        name (str): The backbone's name in it.
        part (nn.Module): The backbone.
    """
    if isinstance(part, DiffusionUNet) and hasattr(type(model), 'whole_inference'):
        model.register_forward_pre_hook(_check_model)


def _check_model(model, args):
    if torch.compiler.is_compiling():
        return
    test_cfg = dict(mode='whole') | dict(model.test_cfg or {})
    check_inference_mode(test_cfg, [mode for mode in MODES if hasattr(model, f'{mode}_inference')])


register_module_module_registration_hook(check_at_first_call)
