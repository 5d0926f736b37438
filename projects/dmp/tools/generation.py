"""What the commands that generate data share: options, progress, and continuing after an interruption."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mmdiffperc.command_line import device, positive, seed
from mmdiffperc.files import brief, read_json, write_whole
from mmdiffperc.inference.image_files import read_lines

DTYPES = ('float32', 'float16', 'bfloat16')


def add_options(parser: argparse.ArgumentParser, batch_size: int):
    """Add the options that every command of a model has."""
    parser.add_argument('--seed', type=seed, default=0, help='equal seeds give equal data (default: %(default)s)')
    parser.add_argument('--batch-size', type=positive, default=batch_size, metavar='N', help='(default: %(default)s)')
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=DTYPES, default='float32', help='of the weights (default: %(default)s)')


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line of a command with the options of :func:`add_options`."""
    args = parser.parse_args(arguments)
    if args.dtype == 'float16' and args.device == 'cpu':
        parser.error('--dtype float16: expected a GPU as --device, got cpu; use float32 or bfloat16 there')
    return args


@contextmanager
def model_errors(model: str) -> Iterator[None]:
    """Name the model in the errors of loading it, which can be about the network alone.

    Raises:
        OSError: It cannot be loaded.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise OSError(
            f'--model {model}: expected a folder, or the id of a model on the hub that was downloaded before or can be '
            f'reached ({reason})'
        ) from error


def check_settings(path: Path, begun: bool, **settings):
    """Note what data are made with, or check that those which an interrupted run left were made with the same.

    Args:
        path (Path): The note.
        begun (bool): Whether there are any such data.
        **settings: What decides about the data.

    Raises:
        FileExistsError: They were not.
        ValueError: The note is damaged.
    """
    if not begun or not path.exists():
        write_whole(path, json.dumps(settings, indent=2) + '\n')
        return
    noted = read_json(path)
    if other := [name for name in noted | settings if noted.get(name) != settings.get(name)]:
        raise FileExistsError(
            f'{path} notes that the data here were made with other settings: '
            f'{", ".join(f"{name} {brief(noted.get(name))}" for name in other)}. Give the same, or another output'
        )


def in_batches(items: Sequence, size: int, done: int, what: str) -> Iterator[Sequence]:
    """Yield batches of items, with a progress bar on which some are done already."""
    with tqdm(total=done + len(items), initial=done, desc=what, unit=what.rstrip('s')) as progress:
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            yield batch
            progress.update(len(batch))


def seed_of(seed: int, index: int) -> int:
    """Return the seed of one item, so that neither the batch size nor an interruption changes its result."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def generator_of(seed: int, index: int) -> torch.Generator:
    """Return a separate random generator for one item; on the CPU, which draws the same numbers everywhere."""
    return torch.Generator().manual_seed(seed_of(seed, index))


def read_captions(path: Path) -> list[str]:
    """Captions: the lines of a text file, or ``text`` of each line of a ``.jsonl``.

    Raises:
        OSError: There is no such file.
        ValueError: It has none, or a line is no such.
    """
    lines = read_lines(path)
    try:
        captions = [json.loads(line)['text'] if path.suffix == '.jsonl' else line for line in lines]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f'{path}: expected lines {{"text": "a caption"}} ({brief(str(error))})') from error
    if not captions or not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f'{path}: expected captions, a line for each, found {brief(captions)}')
    return captions
