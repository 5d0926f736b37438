"""Count the memory of a training step of a config, for ``count_memory.py``."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from mmdiffperc.engine.memory_count import HOST, StepMemory, count_step
from mmdiffperc.registry import class_name

from .speed import build_model, training_losses

GIB = 2**30
ACCUMULATED = 2  # more batches than this add no memory
WRAPPERS = ('OptimWrapper', 'LowMemoryOptimWrapper')


def build_wrapper(cfg: Config, model: nn.Module) -> OptimWrapper:
    """Build the optimizer wrapper of a config; an offloaded optimizer goes to the device that stands for the CPU."""
    settings = cfg.optim_wrapper.copy()
    if settings.get('offload'):
        settings.offload = str(HOST)
    settings.accumulative_counts = min(settings.get('accumulative_counts', 1), ACCUMULATED)
    return build_optim_wrapper(model, settings)


def count(
    cfg: Config,
    batch_size: int,
    size: tuple[int, int],
    build: Callable[[Config, nn.Module], OptimWrapper] = build_wrapper,
    watchers: Sequence[AbstractContextManager] = (),
) -> StepMemory:
    """Count the memory of a training step.

    Args:
        cfg (Config): Config of a segmentation or depth model in mmseg.
        batch_size (int): Images in a batch.
        size (tuple[int, int]): Height and width of the images.
        build (Callable): Builds the optimizer wrapper of a config and a model. Defaults to :func:`build_wrapper`.
        watchers (Sequence[AbstractContextManager]): See :func:`.count_step`.

    Raises:
        ValueError: The config is for another host, or its optimizer wrapper cannot be counted.
    """
    check_config(cfg)
    with torch.device('meta'):
        model = build_model(cfg).train()
    return count_step(model, partial(build, cfg), partial(build_loss, batch_size, size), watchers)


def check_config(cfg: Config):
    """Refuse a config that cannot be counted.

    Raises:
        ValueError: The config is for another host, or has another optimizer wrapper.
    """
    if (scope := cfg.get('default_scope')) != 'mmseg':
        raise ValueError(f'expected a config of mmseg, got one of {scope}')
    kind = class_name(cfg.optim_wrapper.get('type', WRAPPERS[0]))
    if kind not in WRAPPERS:
        raise ValueError(
            f'expected an optim_wrapper of type {" or ".join(WRAPPERS)}, got {kind}; for autocast, use '
            "dict(type='LowMemoryOptimWrapper', dtype='bfloat16')"
        )


def build_loss(batch_size: int, size: tuple[int, int], model: nn.Module):
    """Return a function that computes the loss of a batch, which is created now."""
    losses = training_losses(model, torch.empty(batch_size, 3, *size))
    return lambda: model.parse_losses(losses())[0]


def table(counted: StepMemory) -> str:
    """Format a count as a table."""
    return '\n'.join(
        f'{name.replace("_", " "):16}{number / GIB:8.2f} GiB' for name, number in counted._asdict().items()
    )
