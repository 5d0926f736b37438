"""Options, progress, and resuming for the tools that generate data. Not a tool itself."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mmdiffperc.command_line import add_shared
from mmdiffperc.files import brief, read_json, write_whole

PALETTES = 'ade20k, ade20k_bedroom, or a data set such as mmseg.CityscapesDataset'


def add_options(parser: argparse.ArgumentParser, batch_size: int):
    """Add the options that all tools with a model share."""
    add_shared(parser, '--seed')
    add_shared(parser, '--batch-size', default=batch_size)
    add_shared(parser, '--device')
    add_shared(parser, '--dtype', 'of the weights')


def check_dtype(parser: argparse.ArgumentParser, args: argparse.Namespace):
    """Report an error of the command line if the device does not support the type of the weights."""
    if args.dtype == 'float16' and args.device == 'cpu':
        parser.error('--dtype float16: expected a GPU as --device, got cpu; use float32 or bfloat16 on the CPU')


@contextmanager
def model_errors(model: str) -> Iterator[None]:
    """Add the name of the model to loading errors, which may only describe a network problem.

    Raises:
        OSError: The model cannot be loaded.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise OSError(
            f'--model {model}: expected a folder, or the hub id of a model that is in the cache or can be downloaded '
            f'({reason})'
        ) from error


def check_settings(path: Path, begun: bool, **settings):
    """Record the settings of a run, or check that an interrupted run used the same settings.

    Args:
        path (Path): The JSON file that records them.
        begun (bool): Whether data of an earlier run exist.
        **settings: The settings that determine the data.

    Raises:
        FileExistsError: The settings differ.
        ValueError: The file is damaged.
    """
    if not begun or not path.exists():
        write_whole(path, json.dumps(settings, indent=2) + '\n')
        return
    noted = read_json(path)
    if other := [name for name in noted | settings if noted.get(name) != settings.get(name)]:
        raise FileExistsError(
            f'{path}: the existing data were made with other settings: '
            f'{", ".join(f"{name} {brief(noted.get(name))}" for name in other)}. Use these settings, or another output'
        )


def in_batches(items: Sequence, size: int, done: int, what: str) -> Iterator[Sequence]:
    """Yield batches of the remaining items, with a progress bar that includes the finished ones."""
    with tqdm(total=done + len(items), initial=done, desc=what, unit=what.rstrip('s')) as progress:
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            yield batch
            progress.update(len(batch))


def seed_of(seed: int, index: int) -> int:
    """Return the seed of an item, so that its result does not depend on the batch size or on interruptions."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def generator_of(seed: int, index: int) -> torch.Generator:
    """Return a random generator for an item. It is on the CPU, where it draws the same numbers on every machine."""
    return torch.Generator().manual_seed(seed_of(seed, index))
