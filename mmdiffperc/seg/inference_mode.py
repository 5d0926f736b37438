"""How a model is tested, ``test_cfg``, checked while the model is built."""

from collections.abc import Sequence
from typing import Any

SLIDING = ('slide', 'slide_flip')


def check_inference_mode(test_cfg: dict, modes: Sequence[str]):
    """Refuse a mode that does not exist or is not told its windows, before the first image is tested.

    Args:
        test_cfg (dict): With the ``mode``; windows that slide have ``crop_size`` and ``stride``, in pixels of height
            and width, those that shift ``num_windows``.
        modes (Sequence[str]): What the model can do.

    Raises:
        ValueError: There is no such mode, or its windows are missing or not numbers of pixels.
    """
    mode = test_cfg['mode']
    if mode not in modes:
        raise ValueError(f'test_cfg: mode is one of {", ".join(modes)}; got {mode!r}')
    if mode in SLIDING and not all(_is_size(test_cfg.get(key)) for key in ('crop_size', 'stride')):
        raise ValueError(
            f'test_cfg: mode {mode!r} needs crop_size and stride, each (height, width) in pixels; got {dict(test_cfg)}'
        )
    if mode == 'shift' and not (_is_count(test_cfg.get('num_windows')) and test_cfg['num_windows'] > 1):
        raise ValueError(f"test_cfg: mode 'shift' needs num_windows of at least 2; got {dict(test_cfg)}")


def _is_size(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_count, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0
