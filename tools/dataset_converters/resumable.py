"""What the converters share: a folder that bears its name only when it is complete."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from mmdiffperc.files import relative_name, whole_file


def write_folder(out: Path, files: dict[str, Callable[[Path], None]]) -> int:
    """Write files into a new folder; continue where an interrupted run of the same call stopped.

    They are gathered in ``<out>.part``, where each file appears once it is whole, and the folder gets its name at the
    end. So no reader ever sees half a file or half a data set.

    Args:
        out (Path): Folder to create.
        files (dict[str, Callable[[Path], None]]): For every path within the folder, what writes the file to a path.

    Returns:
        int: Number of files written by this call; 0 if the folder was there, with all of them.

    Raises:
        FileExistsError: The folder, or its ``.part``, holds something else or is no folder.
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
    """Let a file appear a second time; without a second copy where the file system can."""
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def require_files(paths: list[Path]):
    """Refuse to begin a conversion that cannot end.

    Raises:
        FileNotFoundError: Files are missing; the message names the first.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f'{len(missing)} of {len(paths)} listed files are missing, such as {missing[0]}')


def _files_in(folder):
    """Paths within a folder of all files that are not hidden, as temporary ones are."""
    paths = (path for path in folder.rglob('*') if path.is_file() and not path.name.startswith('.'))
    return {path.relative_to(folder).as_posix() for path in paths}
