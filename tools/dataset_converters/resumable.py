"""The split options of the converters, and a folder that gets its name when it is complete. Not a tool itself."""

import os
import shutil
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from mmdiffperc.files import relative_name, whole_file
from mmdiffperc_cli.options import existing_file

PHASES = ('train', 'test')


def add_lists(parser: ArgumentParser):
    """Add the options for the split files."""
    for phase in PHASES:
        parser.add_argument(
            f'--{phase}-list', type=existing_file, metavar='TXT', help=f'split file of the {phase} frames'
        )


def write_folder(out: Path, files: dict[str, Callable[[Path], None]]) -> int:
    """Write files into a new folder, or continue an interrupted call with the same files.

    Each file appears in ``<out>.part`` when it is complete. At the end, the folder is renamed to ``<out>``, so a reader
    never sees an incomplete file or data set.

    Args:
        out (Path): Folder to create.
        files (dict[str, Callable[[Path], None]]): Paths in the folder, and a function for each that writes the
            file to a given path.

    Returns:
        int: Number of files that this call wrote; 0 if the folder was already complete.

    Raises:
        FileExistsError: The folder, or its ``.part``, contains other files or is not a folder.
        ValueError: A path leads out of the folder.
    """
    for name in files:
        relative_name(name, str(out))
    out = Path(out).absolute()
    part = out.with_name(f'{out.name}.part')
    for path in (out, part):
        if path.exists() and not path.is_dir():
            raise FileExistsError(f'{path} exists and is not a folder. Name another folder, or remove it')
    if found := _files_in(out):
        if missing := sorted(files.keys() - found):
            raise FileExistsError(
                f'{out} exists and lacks {len(missing)} of {len(files)} files, such as {missing[0]}. Name another '
                'folder, or remove it'
            )
        return 0
    found = _files_in(part)
    if foreign := sorted(found - files.keys()):
        raise FileExistsError(
            f'{part} was begun with other arguments: it holds {foreign[0]}. Finish that conversion, or remove it'
        )
    missing = [name for name in files if name not in found]
    for name in tqdm(missing, desc=out.name, total=len(files), initial=len(found), unit='file'):
        with whole_file(part / name) as partial:
            files[name](partial)
    os.replace(part, out)
    return len(missing)


def link_or_copy(source: Path, target: Path):
    """Create a hard link to a file, or a copy where the file system does not support links."""
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def require_files(paths: list[Path], advice: str = ''):
    """Check that all files of a conversion exist before it begins.

    Args:
        paths (list[Path]): The files.
        advice (str): What the user can do, a sentence for the message. Defaults to none.

    Raises:
        FileNotFoundError: Files are missing. The message names the first one.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        message = f'{len(missing)} of {len(paths)} listed files are missing, such as {missing[0]}'
        raise FileNotFoundError(f'{message}. {advice}' if advice else message)


def _files_in(folder):
    """Return the relative paths of all files in a folder, except hidden ones, which are temporary."""
    paths = (path for path in folder.rglob('*') if path.is_file() and not path.name.startswith('.'))
    return {path.relative_to(folder).as_posix() for path in paths}
