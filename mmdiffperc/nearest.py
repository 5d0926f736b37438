"""What is there instead of a file or name that was looked for, for messages."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from os.path import splitext

from mmengine import fileio

from mmdiffperc.files import brief

# Enough to see which suffixes a folder has.
NUM_LISTED = 1000


def what_is_there(folder: str, suffix: str | None = None, backend_args: dict | None = None) -> str:
    """Describe the files of a folder by their suffixes.

    Args:
        folder (str): The folder, whose subfolders count.
        suffix (str, optional): What was looked for. Default: nothing in particular.
        backend_args (dict, optional): Of the storage, as in the hosts' data sets.

    Returns:
        str: The suffixes that there are, and which of them was likely meant, if one was looked for.
    """
    if not fileio.isdir(folder, backend_args):
        return f'{folder} does not exist or is not a folder; check data_root and data_prefix'
    listing = fileio.list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=backend_args)
    files = {splitext(name)[1]: name for name in islice(listing, NUM_LISTED)}  # one for each suffix
    if not files:
        return f'{folder} holds no files; check data_root and data_prefix'
    wanted = suffix or ''
    nearest = next((one for one in files if one.lower() == wanted.lower()), next(iter(files)))
    guess = '' if suffix in (None, nearest) else f': did you mean {nearest!r}?'
    return f'{folder} holds files with {sorted(files)}, such as {brief(files[nearest])}{guess}'


def check_listed(paths: Sequence[str], folder: str, option: str, suffix: str, backend_args: dict | None = None):
    """Check that files exist, at once, and not where training happens to read the first missing one.

    Args:
        paths (Sequence[str]): The files.
        folder (str): Where they should be.
        option (str): Name of the option that gives their suffix, for the message.
        suffix (str): Its value.
        backend_args (dict, optional): Of the storage, as in the hosts' data sets.

    Raises:
        FileNotFoundError: Some are missing; the message names the first and says what is there.
    """
    if missing := [path for path in paths if not fileio.exists(path, backend_args)]:
        raise FileNotFoundError(
            f'{len(missing)} of {len(paths)} files are missing, such as {missing[0]} ({option}={suffix!r}). '
            f'{what_is_there(folder, suffix, backend_args)}'
        )


def nearest_names(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that ``name`` is likely to stand for, nearest first; upper and lower case count as equal."""
    lower = {one.lower(): one for one in known}
    return [lower[one] for one in get_close_matches(name.lower(), lower, n=2)]
