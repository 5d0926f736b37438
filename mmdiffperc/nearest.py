"""What exists in place of a file or name that was not found, for messages."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from os.path import basename, split, splitext

from mmengine import fileio

from mmdiffperc.files import brief, quoted
from mmdiffperc.progress import progress

# Enough to find the suffixes in a folder.
NUM_LISTED = 1000
IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def what_is_there(folder: str, suffix: str | None = None, backend_args: dict | None = None) -> str:
    """Describe the files in a folder by their suffixes.

    Args:
        folder (str): The folder, including its subfolders.
        suffix (str, optional): The suffix that was expected. Default: none.
        backend_args (dict, optional): Arguments of the storage backend, as in the hosts' data sets.

    Returns:
        str: The suffixes that exist, and the one that was probably meant if ``suffix`` is given.
    """
    if not fileio.isdir(folder, backend_args):
        beside = nearest_path(folder, backend_args)
        return f'{folder} is not a folder; check data_root and data_prefix. {beside}'.rstrip()
    listing = fileio.list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=backend_args)
    names = list(islice(listing, NUM_LISTED))
    if not names:
        return f'{folder} holds no files; check data_root and data_prefix'
    files = {splitext(name)[1]: name for name in names}  # one for each suffix
    wanted = f'.{suffix.rpartition(".")[2]}'.lower() if suffix else None
    nearest = next((one for one in files if one.lower() == wanted), next(iter(files)))
    guess = '' if not suffix or any(name.endswith(suffix) for name in names) else f': did you mean {nearest!r}?'
    return f'{folder} holds files with {sorted(files)}, such as {brief(files[nearest])}{guess}'


def nearest_path(path: str, backend_args: dict | None = None) -> str:
    """Describe what exists beside the place where a file or folder was expected.

    Args:
        path (str): The file or folder.
        backend_args (dict, optional): Arguments of the storage backend, as in the hosts' data sets.

    Returns:
        str: The name that was probably meant, or else all names; an empty string if the parent folder has no entries.
    """
    parent, name = split(path.rstrip('/'))
    if not fileio.isdir(parent or '.', backend_args):
        return ''
    is_file = bool(splitext(name)[1])
    beside = fileio.list_dir_or_file(parent or '.', not is_file, is_file, backend_args=backend_args)
    names = [one for one in islice(beside, NUM_LISTED) if not one.startswith('.')]
    if near := nearest_names(name, names):
        return f'Did you mean {brief(near[0])}?'
    return f'{parent or "The current folder"} holds {quoted(sorted(names))}' if names else ''


def check_listed(paths: Sequence[str], folder: str, option: str, suffix: str, backend_args: dict | None = None):
    """Check that files exist and are not empty, before training reads the first bad one.

    Args:
        paths (Sequence[str]): The files.
        folder (str): The folder in which they are expected.
        option (str): Name of the option that defines their suffix, for the message.
        suffix (str): Its value.
        backend_args (dict, optional): Arguments of the storage backend, as in the hosts' data sets.

    Raises:
        FileNotFoundError: Some files are missing; the message names the first one and says what exists.
        ValueError: Some local files are empty; the message names the first one.
    """
    if missing := [path for path in progress(paths, 'find files', 'file') if not fileio.exists(path, backend_args)]:
        has_suffix = missing[0].endswith(suffix)  # a list of whole names includes the suffixes
        reason = f' ({option}={suffix!r}). {_suffix_mistake(missing[0], suffix)}' if has_suffix else '. '
        raise FileNotFoundError(
            f'{len(missing)} of {len(paths)} files are missing, such as {missing[0]}{reason}'
            f'{what_is_there(folder, suffix if has_suffix else None, backend_args)}'
        )
    if empty := [path for path in paths if os.path.isfile(path) and not os.path.getsize(path)]:
        raise ValueError(f'{empty[0]}: empty, as are {len(empty)} of {len(paths)} files; get them again')


def _suffix_mistake(path, suffix):
    """Recognise a suffix that is written twice, without its dot, or without a name."""
    if basename(path) == suffix:
        return 'A line of ann_file is empty. '
    given = splitext(path.removesuffix(suffix))[1]
    if given.lower() in IMAGE_SUFFIXES:
        return f'The name already has the suffix {given!r}: remove it from ann_file. '
    if given == '.':  # 'a..png' beside 'a.jpg'
        return "The name has two dots, because the dot is missing in img_suffix: write '.jpg', not 'jpg'. "
    if suffix and '.' not in suffix:
        return f'The dot is missing: did you mean {f".{suffix}"!r}? '
    return ''


def nearest_names(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that ``name`` probably stands for, nearest first; upper and lower case are equal."""
    lower = {one.lower(): one for one in known}
    return [lower[one] for one in get_close_matches(name.lower(), lower, n=2)]
