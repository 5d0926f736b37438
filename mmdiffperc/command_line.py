"""What the command-line tools share: types of options, and errors in one line."""

import argparse
import functools
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path

from mmdiffperc.files import brief

CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')
FIGURE_SUFFIXES = ('.png', '.jpg', '.pdf', '.svg')
INTERRUPTED = 130  # the exit status that shells have for it


def bounded(
    kind: type, least: float = -inf, most: float = inf, above: float = -inf, multiple_of: int = 1
) -> Callable[[str], float]:
    """Return the type of an option that is a finite number within bounds, which are included.

    Args:
        kind (type): ``int`` or ``float``.
        least (float): The lower bound. Default: none.
        most (float): The upper bound. Default: none.
        above (float): A lower bound that is not included. Default: none.
        multiple_of (int): The number must be divisible by this; for whole numbers. Defaults to 1.

    Returns:
        Callable[[str], float]: A ``type`` for ``argparse``. Its error says what was expected and what came.
    """
    wanted = 'a whole number' if kind is int else 'a finite number'
    wanted += f' divisible by {multiple_of}' if multiple_of > 1 else ''
    wanted += f' above {above}' if above > -inf else ''
    wanted += f' from {least}' if least > -inf else ''
    wanted += f' up to {most}' if most < inf else ''

    def convert(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = nan
        within = -inf < number < inf and above < number and least <= number <= most
        if not within or (multiple_of > 1 and number % multiple_of):
            raise argparse.ArgumentTypeError(f'expected {wanted}, got {brief(text)}')
        return number

    return convert


positive = bounded(int, 1)
positive_float = bounded(float, above=0)
guidance_scale = bounded(float, 0)
seed = bounded(int, 0, 2**32 - 1)
image_side = bounded(int, 8, 8192)  # what a Stable Diffusion can encode, and what fits into a memory


def file_name(*suffixes: str) -> Callable[[str], Path]:
    """Return the type of an option that is the name of a file with one of these suffixes, such as ``'.png'``.

    Returns:
        Callable[[str], Path]: A ``type`` for ``argparse``. Its error says what was expected and what came.
    """

    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f'expected the name of a file ({", ".join(suffixes)}), got {brief(text)}')
        return path

    return convert


def config_file(text: str) -> str:
    """Check that an option is a config, and no file of another kind.

    A name that a host understands, such as ``mmseg::pspnet/...``, is left to the host.

    Raises:
        argparse.ArgumentTypeError: It is empty, a folder, a file of another kind, for instance an image, or there is no
            such file.
    """
    path = Path(text)
    is_config = path.suffix in CONFIG_SUFFIXES
    if not text.strip() or path.is_dir() or (path.is_file() and not is_config):
        raise argparse.ArgumentTypeError(f'expected a config ({", ".join(CONFIG_SUFFIXES)}), got {brief(text)}')
    if is_config and '::' not in text and not path.is_file():
        raise argparse.ArgumentTypeError(f'expected a config, but the file {brief(text)} does not exist')
    return text


def existing_file(text: str) -> Path:
    """Check that an option is a file.

    Raises:
        argparse.ArgumentTypeError: There is no such file.
    """
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f'expected a file, but {brief(text)} does not exist or is not a file')
    return Path(text)


def key_value(text: str) -> str:
    """Check that an option has the form ``KEY=VALUE``, before anything is run with it.

    Raises:
        argparse.ArgumentTypeError: It has another form.
    """
    key, separator, _ = text.partition('=')
    if not key.strip() or not separator:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {brief(text)}')
    return text


def device(text: str) -> str:
    """Check that an option is a device of this machine.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    import torch  # not all tools need it

    try:
        is_there = torch.empty(0, device=text).device.type != 'meta'
    except (RuntimeError, AssertionError, ImportError):
        is_there = False
    if not is_there:
        raise argparse.ArgumentTypeError(
            f'expected a device of this machine, which has cpu and, as cuda:INDEX, GPUs: {torch.cuda.device_count()}; '
            f'got {brief(text)}'
        )
    return text


def one_line_errors(*expected: type[Exception]) -> Callable:
    """Decorate a tool's ``main``: errors that its user can mend are told in one line, without a traceback.

    SIGTERM ends the tool as Ctrl+C does, so that it removes what it has half written.

    Args:
        *expected (type[Exception]): Those errors; any other stays a traceback, since it is a fault of ours.

    Returns:
        Callable: Decorator of a function of the command-line arguments (``None``: those of the process). The decorated
        function returns the exit status: 0; 1 after an expected error, told on stderr after the tool's name; or 130 if
        it was interrupted.
    """

    def decorate(main: Callable) -> Callable[[Sequence[str] | None], int]:
        @functools.wraps(main)
        def command(arguments=None) -> int:
            tool = Path(inspect.getfile(main)).stem
            try:
                with _sigterm_interrupts():
                    main(arguments)
            except expected as error:
                print(f'{tool}: {error}', file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                print(f'{tool}: interrupted', file=sys.stderr)
                return INTERRUPTED
            return 0

        return command

    return decorate


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: a handler that is not of Python
