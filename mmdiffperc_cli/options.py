"""Options that the command-line tools share, types for their values, and one-line errors."""

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
from typing import Any

from mmengine.config import DictAction

from mmdiffperc_cli.shipped import find_shipped

CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')
FIGURE_SUFFIXES = ('.png', '.jpg', '.pdf', '.svg')
DTYPES = ('float32', 'bfloat16', 'float16')
AUTO = 'auto'
INTERRUPTED = 130  # the exit status that shells use for an interrupted program
LONGEST_QUOTE = 100  # characters of a value in a message


def bounded(
    kind: type, least: float = -inf, most: float = inf, above: float = -inf, multiple_of: int = 1
) -> Callable[[str], float]:
    """Return a type for options whose value is a finite number within bounds.

    Args:
        kind (type): ``int`` or ``float``.
        least (float): Lower bound (inclusive). Default: no bound.
        most (float): Upper bound (inclusive). Default: no bound.
        above (float): Lower bound (exclusive). Default: no bound.
        multiple_of (int): The number must be divisible by this integer. Defaults to 1.

    Returns:
        Callable[[str], float]: A ``type`` for ``argparse``. Its error states the expected and the given value.
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
            raise argparse.ArgumentTypeError(f'expected {wanted}, got {_quote(text)}')
        return number

    return convert


positive = bounded(int, 1)
positive_float = bounded(float, above=0)
guidance_scale = bounded(float, 0)
seed = bounded(int, 0, 2**32 - 1)
image_side = bounded(
    int, 8, 8192
)  # 8 is the least that Stable Diffusion can encode; more than 8192 does not fit into memory


def file_name(*suffixes: str) -> Callable[[str], Path]:
    """Return a type for options whose value is a file name with one of these suffixes, such as ``'.png'``.

    Returns:
        Callable[[str], Path]: A ``type`` for ``argparse``. Its error states the expected suffixes and the given value.
    """

    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f'expected the name of a file ({", ".join(suffixes)}), got {_quote(text)}')
        return path

    return convert


def config_file(text: str) -> str:
    """Return the path of a config file, which may ship with the package.

    Names such as ``mmseg::pspnet/...`` are not checked, because the host resolves them.

    Raises:
        argparse.ArgumentTypeError: The value is empty, names a folder or a file of another type, such as an image, or
            names a config that does not exist.
    """
    path = Path(text)
    is_config = path.suffix in CONFIG_SUFFIXES
    if not text.strip() or path.is_dir() or (path.is_file() and not is_config):
        raise argparse.ArgumentTypeError(f'expected a config ({", ".join(CONFIG_SUFFIXES)}), got {_quote(text)}')
    found = find_shipped(text)
    if is_config and '::' not in text and not Path(found).is_file():
        raise argparse.ArgumentTypeError(
            f'expected a config, but neither a file {_quote(text)} nor a shipped config of this name exists'
        )
    return found


def existing_file(text: str) -> Path:
    """Check that a value names an existing file.

    Raises:
        argparse.ArgumentTypeError: The file does not exist.
    """
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f'expected a file, but {_quote(text)} does not exist or is not a file')
    return Path(text)


def key_value(text: str) -> str:
    """Check that a value has the form ``KEY=VALUE``.

    Raises:
        argparse.ArgumentTypeError: The value has a different form.
    """
    key, separator, _ = text.partition('=')
    if not key.strip() or not separator:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {_quote(text)}')
    return text


def find_device(text: str) -> str:
    """Check that this machine has a device; replace ``auto`` by a GPU if PyTorch finds one, and by the CPU otherwise.

    Raises:
        argparse.ArgumentTypeError: This machine has no such device.
    """
    import torch  # here, because it takes seconds

    if text == AUTO:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        is_there = torch.empty(0, device=text).device.type != 'meta'
    except (RuntimeError, AssertionError, ImportError):
        is_there = False
    if not is_there:
        raise argparse.ArgumentTypeError(
            f'expected a device of this machine, which has cpu and {torch.cuda.device_count()} GPUs (cuda:INDEX), got '
            f'{_quote(text)}'
        )
    return text


class DeviceAction(argparse.Action):
    """Store the name of a device. :class:`ToolParser` checks it after all other arguments, because that needs torch."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Store the name."""
        setattr(namespace, self.dest, values)


class ToolParser(argparse.ArgumentParser):
    """A parser that reports all other wrong arguments before it imports torch to check the device."""

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        """Parse the command line."""
        parsed = super().parse_args(args, namespace)
        for action in self._actions:
            if isinstance(action, DeviceAction):
                try:
                    setattr(parsed, action.dest, find_device(getattr(parsed, action.dest)))
                except argparse.ArgumentTypeError as error:
                    self.error(str(argparse.ArgumentError(action, str(error))))
        return parsed


# The arguments that tools share. A tool can add a note in parentheses to the help text, but cannot change its wording.
SHARED = {
    'config': dict(metavar='CONFIG', type=config_file, help='config file'),
    'weights': dict(metavar='WEIGHTS', type=find_shipped, help='checkpoint file'),
    'input': dict(metavar='INPUT', type=Path),  # each tool describes its input in `help`
    '--config': dict(metavar='CONFIG', type=config_file, help='config file'),
    '--weights': dict(metavar='WEIGHTS', help='weights'),
    '--out': dict(metavar='FOLDER', type=Path, help='folder to write'),
    '--out-file': dict(metavar='FILE', type=Path, help='file to write'),
    '--device': dict(action=DeviceAction, default=AUTO, help='device to compute on'),
    '--dtype': dict(choices=DTYPES, default=DTYPES[0], help='data type'),
    '--compile': dict(action='store_true', help='compile with torch.compile, which needs a C++ compiler'),
    '--batch-size': dict(type=positive, default=1, metavar='N', help='batch size'),
    '--seed': dict(type=seed, default=0, metavar='N', help='random seed'),
    '--workers': dict(type=positive, default=1, metavar='N', help='number of processes'),
    '--cfg-options': dict(
        nargs='+',
        type=key_value,
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config',
    ),
    '--arch': dict(help='architecture of the diffusion model'),
    '--classes': dict(nargs='+', metavar='NAME', help='class names'),
    '--ensemble-size': dict(type=positive, metavar='N', help='number of predictions to combine'),
    '--extra-key': dict(
        metavar='KEY', help="use DMP's official keys: the image's name up to the first dot, then -KEY unless KEY is ''"
    ),
    '--guidance-scale': dict(type=guidance_scale, metavar='SCALE', help='scale of classifier-free guidance'),
    '--indices': dict(nargs='+', type=bounded(int, 0), metavar='INDEX', help='indices of images in the test set'),
    '--model': dict(help='hub id or folder of a model'),
    '--num-steps': dict(type=positive, metavar='N', help='number of denoising steps'),
    '--size': dict(type=image_side, metavar='PIXELS', help='image size'),
    '--strides': dict(nargs='+', type=positive, metavar='PIXELS', help='strides of the features'),
    '--text': dict(help='text about the image'),
    '--threshold': dict(type=bounded(float), metavar='SCORE', help='lowest score to draw'),
    '--time-limit': dict(type=positive_float, metavar='N', help='time limit'),
}


def tool_parser(description: str) -> ToolParser:
    """Return a parser without arguments.

    Args:
        description (str): The docstring of the tool. Its line breaks are kept.
    """
    return ToolParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_shared(parser: argparse.ArgumentParser, name: str, note: str = '', **settings: Any) -> argparse.Action:
    """Add an argument that tools share.

    Args:
        parser (argparse.ArgumentParser): The parser, or one of its groups.
        name (str): A key of ``SHARED``, such as ``'config'`` or ``'--device'``.
        note (str): Note for this tool, which the help text shows in parentheses, followed by the default value.
        **settings: Arguments of ``add_argument``, such as ``default``, that replace the shared ones.
    """
    settings = SHARED[name] | settings
    default = settings.get('default')
    if default is not None:
        shown = ' '.join(map(str, default)) if isinstance(default, (list, tuple)) else default
        note = f'{note}; default: {shown}'.removeprefix('; ')
    if note:
        settings['help'] += f' ({note})'.replace('%', '%%')
    return parser.add_argument(name, **settings)


def check_indices(indices: Sequence[int] | None, number: int, default: int) -> Sequence[int]:
    """Return the indices of ``--indices``, or the first ``default`` indices.

    Args:
        indices (Sequence[int] | None): Value of the option, or None without the option.
        number (int): Number of images in the test set.
        default (int): Number of images to select without the option.

    Raises:
        ValueError: The test set has no image with one of these indices.
    """
    indices = range(min(default, number)) if indices is None else indices
    if absent := [index for index in indices if index >= number]:
        raise ValueError(f'--indices: expected indices of the test set, 0 to {number - 1}, got {absent}')
    return indices


def one_line_errors(*expected: type[Exception]) -> Callable:
    """Return a decorator for ``main`` that reports expected errors in one line, without a traceback.

    SIGTERM has the same effect as Ctrl+C, so that the tool removes partial files.

    Args:
        *expected (type[Exception]): Errors that the user can fix. Any other error is a bug and keeps its traceback.

    Returns:
        Callable: Decorator for a function that takes the command-line arguments (``None``: ``sys.argv``). The decorated
        function returns the exit status: 0 after success, 1 after an expected error, and 130 after an interruption. It
        prints expected errors to stderr, after the name of the tool.
    """

    def decorate(main: Callable) -> Callable[[Sequence[str] | None], int]:
        @functools.wraps(main)
        def command(arguments=None) -> int:
            tool = Path(inspect.getfile(main)).stem
            try:
                with _sigterm_interrupts():
                    main(arguments)
            except expected as error:
                print(f'{tool}: {_reason(error)}', file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                print(f'{tool}: interrupted', file=sys.stderr)
                return INTERRUPTED
            return 0

        return command

    return decorate


def _reason(error: Exception) -> Exception:
    """Return the reason why an import of a config failed, which mmengine replaces by a list of ``sys.path``."""
    while isinstance(error, ImportError) and str(error).startswith('Failed to import '):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: the handler was not installed from Python


def _quote(text: str) -> str:
    return repr(text if len(text) <= LONGEST_QUOTE else f'{text[:LONGEST_QUOTE]}...')
