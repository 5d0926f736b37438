"""Text files that tools write batch by batch, in several processes, and continue after an interruption."""

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from mmdiffperc.files import brief, read_json, write_whole


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


def make_lines(
    file: Path,
    args: argparse.Namespace,
    items: Sequence,
    load: Callable[[], Callable[[Sequence[int], Sequence], Sequence[str]]],
    what: str,
) -> int:
    """Write a text file batch by batch, together with other processes.

    The lines of each batch are first written to a file in a folder next to ``file``. The process that finishes last
    joins them.

    Args:
        file (Path): The file to write. If it exists, it is complete and remains unchanged.
        args (Namespace): The command line.
        items (Sequence): The items that become lines.
        load (Callable): Load the model. Return a function that takes the indices and the items of a batch, and returns
            its lines.
        what (str): Plural noun for the progress bar.

    Returns:
        int: The number of items that this process was given.
    """
    if file.exists():
        return 0
    folder = parts_folder(file)
    parts = [folder / f'{start:08d}{file.suffix}' for start in range(0, len(items), args.batch_size)]
    own = shard(args, len(items))
    todo = [index for index in own if not parts[index // args.batch_size].exists()]
    make = load() if todo else None
    for indices in in_batches(todo, args.batch_size, len(own) - len(todo), what):
        lines = make(indices, [items[index] for index in indices])
        write_whole(parts[indices[0] // args.batch_size], ''.join(f'{line}\n' for line in lines))
    if all(part.exists() for part in parts):
        with suppress(FileNotFoundError):  # another process, which finished at the same time, has removed the parts
            write_whole(file, b''.join(part.read_bytes() for part in parts))
        shutil.rmtree(folder, ignore_errors=True)
    return len(todo)


def parts_folder(file: Path) -> Path:
    """Return the folder for the batches of a file until it is complete."""
    return file.with_suffix('.parts')


def shard(args: argparse.Namespace, number: int) -> list[int]:
    """Return the indices of the items, out of ``number``, that this process makes."""
    return [index for index in range(number) if index // args.batch_size % args.world_size == args.index]


def in_batches(items: Sequence, size: int, done: int, what: str) -> Iterator[Sequence]:
    """Yield batches of the remaining items, with a progress bar that includes the finished ones."""
    with tqdm(total=done + len(items), initial=done, desc=what, unit=what.rstrip('s')) as progress:
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            yield batch
            progress.update(len(batch))
