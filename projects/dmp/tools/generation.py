"""Options, images, shards and resuming for the tools that generate data. Not a tool itself.

Several processes, on one or more machines, can share the work. Each process makes whole batches, the same ones that a
single process would make, so that the results are equal. No process waits for another one: the process that finishes
last completes the data.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from mmdiffperc.files import brief, quoted, read_lines, relative_name
from mmdiffperc.generative.data.target_stores import LmdbTargets, is_lmdb
from mmdiffperc.inference.image_files import decode_image, read_image
from mmdiffperc.inference.metadata import list_images
from mmdiffperc_cli.options import add_shared, bounded, existing_file, positive

PALETTES = 'ade20k, ade20k_bedroom, or a data set such as mmseg.CityscapesDataset'
# Arguments that do not determine the data.
NOT_SETTINGS = (
    'input', 'out', 'out_file', 'keys', 'text_file', 'save_noise', 'save_latents', 'batch_size', 'device', 'index',
    'world_size',
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser, batch_size: int):
    """Add the options that all tools with a model share."""
    add_shared(parser, '--seed')
    add_shared(parser, '--batch-size', default=batch_size)
    add_shared(parser, '--device')
    add_shared(parser, '--dtype', 'for the weights')
    parser.add_argument(
        '--index', type=bounded(int, 0), metavar='N',
        help='number of this process, from 0, among --world-size processes that share the work (default: as '
        'torchrun or accelerate launch sets it)',
    )  # fmt: skip
    parser.add_argument(
        '--world-size', type=positive, metavar='N', help='number of processes that share the work (see --index)'
    )


def add_keys(parser: argparse.ArgumentParser):
    """Add ``--keys``, which selects images."""
    parser.add_argument(
        '--keys',
        type=existing_file,
        metavar='FILE',
        help='text file with the names of the images to use (default: all)',
    )


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line, and check the options of :func:`add_options`.

    Without ``--index`` and ``--world-size``, the launcher sets them, and gives each process its own GPU.
    """
    args = parser.parse_args(arguments)
    if args.dtype == 'float16' and args.device == 'cpu':
        parser.error('--dtype float16: expected a GPU as --device, got cpu; use float32 or bfloat16 on the CPU')
    if args.index is None and args.world_size is None:
        # The variables of torchrun, which accelerate launch uses too. The processes do not communicate.
        args.index, args.world_size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
        if args.device == 'cuda' and 'LOCAL_RANK' in os.environ:
            args.device = f'cuda:{os.environ["LOCAL_RANK"]}'
    if None in (args.index, args.world_size) or args.index >= args.world_size:
        parser.error(
            f'expected --index below --world-size, got --index {args.index} and --world-size {args.world_size}'
        )
    return args


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


def settings_of(args: argparse.Namespace) -> dict:
    """Return the arguments that determine the data."""
    settings = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def open_images(path: Path) -> tuple[list[str], Callable[[str], np.ndarray]]:
    """List the images in a folder or in an lmdb.

    Args:
        path (Path): A folder with or without ``metadata.jsonl``, or an lmdb of image files.

    Returns:
        tuple: The names of the images, and a function that reads one: ``(H, W, 3)`` in RGB, uint8.

    Raises:
        OSError: There is no such folder, or it contains no images.
        ValueError: The metadata or the database are damaged, or a name leads out of the folder.
    """
    if is_lmdb(path):
        database = LmdbTargets(path)
        names = [relative_name(name, f'{path}') for name in database.keys()]

        def read(name):
            return decode_image(*database.read(name))[..., ::-1]
    else:
        names = [name for name, _ in list_images(path)]

        def read(name):
            return read_image(path / name)[..., ::-1]

    return names, read


def select(names: list[str], keys: Path | None, path: Path) -> list[str]:
    """Return the names of the images in ``path`` that the text file ``keys`` lists, or all names without a file.

    Raises:
        ValueError: There is no image with one of the listed names.
    """
    if keys is None:
        return names
    selected = list(dict.fromkeys(read_lines(keys)))
    if absent := set(selected).difference(names):
        raise ValueError(
            f'{keys}: expected names of images in {path}, such as {brief(names[0])}, got {quoted(sorted(absent))}'
        )
    return selected


def seed_of(seed: int, index: int) -> int:
    """Return the seed of an item, so that its result does not depend on the batch size or on interruptions."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def generator_of(seed: int, index: int) -> torch.Generator:
    """Return a random generator for an item. It is on the CPU, where it draws the same numbers on every machine."""
    return torch.Generator().manual_seed(seed_of(seed, index))
