"""Every option of every command-line tool, given what it cannot mean; no tool comes as far as building a model."""

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from unittest.mock import patch

from mmdiffperc.pose import PoseInferencer
from mmdiffperc.seg import DepthInferencer

from .case import Case, ToldError
from .damage import PNG

ROOT = Path(__file__).parents[2]
TOOLS = {
    'projects/dmp/tools': (
        'convert_colours',
        'make_captions',
        'make_images',
        'make_metadata',
        'make_targets',
        'pack_lmdb',
    ),
    'tools': (
        'app',
        'benchmark',
        'check_data',
        'constant_depth',
        'convert_checkpoint',
        'draw_predictions',
        'draw_transfer',
        'export_model',
        'make_toy_scenes',
        'measure_prior',
        'predict',
        'pretrain_tiny_sd',
        'publish_checkpoint',
        'score_tiny_sd',
        'swap_backbone',
        'sweep_stock_configs',
        'visualize_attention',
    ),
    'tools/dataset_converters': ('kitti', 'nyu'),
}

NO_NUMBER = ('', ' ', 'x', 'nan', 'inf', '-inf', '1e999', '1,5', '0x1g', '5 px', '٫', '--')
NO_WHOLE_NUMBER = (*NO_NUMBER, '1.5', '1e3', '9' * 5000)
BELOW = ('-1', '-99999999')
NO_CHOICE = ('', 'x', '0', 'None', ' ')
NO_DEVICE = ('', 'x', 'gpu', 'tpu', 'cuda:99', 'cuda:x', 'meta', '-1')
NO_CONFIG = ('', 'picture.png', 'missing.py', 'missing.json', 'folder')
FLOATS = (
    '--guidance-scale', '--temperature', '--top-p', '--png-scale', '--threshold', '--box', '--autoencoder-lr',
    '--save-every', '--lr', '--snr-gamma', '--time-limit',
)  # fmt: skip
BELOW_ZERO = ('--threshold', '--box')
FIGURES = ('figure', 'figure.txt', 'figure.exe', '.png')


def cases() -> Iterator[Case]:
    """Of each option of each tool; then files that are not there, or of another kind."""
    for tool in TOOL_FOLDERS:
        yield from _cases_of(tool, _tool(tool).build_parser())
    every_task = {action.dest for action in _tool('predict').build_parser()._actions}
    for task in (DepthInferencer, PoseInferencer):
        yield from _cases_of('predict', _tool('predict').build_parser(task), besides=every_task)
    for tool, arguments, name in FILES:
        yield Case(tool, ' '.join(arguments), partial(_run, tool, arguments), (name,))


def _cases_of(tool: str, parser: argparse.ArgumentParser, besides: Collection[str] = ()) -> Iterator[Case]:
    for action in (action for action in parser._actions if action.dest not in besides):
        for value in _bad_values(action):
            yield _case(tool, parser, action, *[value] * (action.nargs if isinstance(action.nargs, int) else 1))
        if isinstance(action.nargs, int) and action.nargs > 1:
            yield _case(tool, parser, action, *['8'] * (action.nargs - 1))


TOOL_FOLDERS = {name: folder for folder, names in TOOLS.items() for name in names}


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    """A script finds the modules that lie beside it."""
    with patch.object(sys, 'path', [str(ROOT / folder), *sys.path]):
        yield


def _tool(name: str):
    with _importable(TOOL_FOLDERS[name]):
        return importlib.import_module(name)


def _bad_values(action: argparse.Action) -> tuple[str, ...]:
    option = (action.option_strings or [action.metavar])[0]
    if action.nargs == 0:
        return ()
    if action.choices:
        return NO_CHOICE
    if option == '--device':
        return NO_DEVICE
    kind = getattr(action.type, '__qualname__', '')
    if kind == 'config_file':
        return NO_CONFIG
    if kind.startswith('file_name'):
        return FIGURES if action.default else ('config', 'config.png')
    if kind.startswith('bounded') or action.type in (int, float):
        wrong = NO_NUMBER if option in FLOATS else NO_WHOLE_NUMBER
        return wrong if option in BELOW_ZERO else (*wrong, *BELOW)
    return ()


def _case(tool: str, parser: argparse.ArgumentParser, action: argparse.Action, *values: str) -> Case:
    """One option is bad; those that have to be there are good."""
    name = (action.option_strings or [action.metavar])[0]
    arguments = []
    for other in parser._actions:
        if other is action:
            arguments += [*action.option_strings[-1:], *values]
        elif other.required:
            arguments += [*other.option_strings[-1:], *_good_values(other)]
    title = f'{name} {" ".join(values):.30}'
    return Case(tool, title, partial(_parse, parser, arguments), (name,))


def _good_values(action: argparse.Action) -> list[str]:
    if action.choices:
        return [next(iter(action.choices))]
    kind = getattr(action.type, '__qualname__', '')
    value = 'config.py' if kind == 'config_file' or kind.startswith('file_name') else 'given'
    return [value] * (action.nargs if isinstance(action.nargs, int) else 1)


def _run(tool: str, arguments: list[str]) -> None:
    """Run a tool beside a config, a picture, texts and a folder."""
    with TemporaryDirectory(prefix='case-') as folder, _importable(TOOL_FOLDERS[tool]):
        _write_files(Path(folder))
        _tell(_tool(tool).main, arguments, folder)


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    _tell(parser.parse_args, arguments, _folder())


@cache
def _folder() -> Path:
    folder = Path(mkdtemp(prefix='cases-'))
    _write_files(folder)
    return folder


def _write_files(folder: Path) -> None:
    (folder / 'config.py').write_text('model = dict()')
    (folder / 'picture.png').write_bytes(PNG)
    (folder / 'text.txt').write_text('a room\n')
    (folder / 'binary.txt').write_bytes(b'\xff\xfe\x00\x89')
    (folder / 'empty.txt').touch()
    (folder / 'folder').mkdir()


def _tell(run: Callable[[list[str]], object], arguments: list[str], folder: str | Path) -> None:
    """Run something in a folder.

    Raises:
        ToldError: It has ended with an error in a line.
    """
    told = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = run(arguments)
        except SystemExit as end:
            status = end.code
    if isinstance(status, int) and status:
        raise ToldError(told.getvalue().strip().splitlines()[-1])


# tool, arguments, what the message names
FILES = [
    ('predict', ['config.py', 'a.pth', 'picture.png'], 'DepthEstimator'),
    ('predict', ['folder', 'a.pth', 'picture.png'], 'folder'),
    ('predict', ['missing.py', 'a.pth', 'picture.png'], 'missing.py'),
    ('app', ['--task', 'a/b', 'config.py', 'lora'], '--task'),
    ('app', ['--task', '', 'config.py', 'lora'], '--task'),
    ('app', ['--task', 'a', 'config.py', 'lora', '--task', 'a', 'config.py', 'lora'], '--task'),
    ('make_captions', ['missing.txt', '--out-file', 'out.jsonl', '--model', 'missing'], 'missing'),
    ('make_captions', ['empty.txt', '--out-file', 'out.jsonl', '--model', 'missing'], 'empty.txt'),
    ('make_captions', ['binary.txt', '--out-file', 'out.jsonl', '--model', 'missing'], 'binary.txt'),
    ('make_captions', ['text.txt', '--out-file', 'out.jsonl', '--model', 'missing', '--prompt', 'say'], '--prompt'),
    (
        'make_captions',
        ['text.txt', '--out-file', 'out.jsonl', '--model', 'missing', '--dtype', 'float16', '--device', 'cpu'],
        '--dtype',
    ),
    ('make_captions', ['text.txt', '--out-file', 'out.jsonl', '--model', 'missing'], '--model'),
    ('make_captions', ['text.txt', '--out-file', 'out.jsonl', '--model', 'missing', '--top-p', '2'], '--top-p'),
    ('make_captions', ['--out-file', 'out.jsonl'], '--keyword'),
    ('make_captions', ['text.txt', '--out-file', 'out.jsonl', '--index', '2', '--world-size', '2'], '--world-size'),
    ('make_images', ['--out', 'out', '--model', 'tiny-sd'], '--text'),
    ('make_images', ['text.txt', '--out', 'out', '--model', 'tiny-sd', '--read-noise', 'missing'], '--read-noise'),
    ('make_metadata', ['missing'], 'missing'),
    ('make_metadata', ['folder'], 'folder'),
    ('make_metadata', ['.', '--text-file', 'empty.txt'], 'empty.txt'),
    ('make_metadata', ['.', '--text-file', 'missing.txt'], '--text-file'),
    ('make_metadata', ['.', '--model', 'missing'], 'missing'),
    ('make_images', ['missing.txt', '--out', 'out', '--model', 'tiny-sd'], 'missing.txt'),
    ('make_images', ['empty.txt', '--out', 'out', '--model', 'tiny-sd'], 'empty.txt'),
    ('make_images', ['binary.txt', '--out', 'out', '--model', 'tiny-sd'], 'binary.txt'),
    ('make_images', ['text.txt', '--out', 'out', '--model', 'missing'], '--model'),
    ('make_images', ['text.txt', '--out', 'out', '--model', 'missing', '--size', '7', '7'], '--size'),
    (
        'make_images',
        ['text.txt', '--out', 'out', '--model', 'missing', '--dtype', 'float16', '--device', 'cpu'],
        '--dtype',
    ),
    ('make_targets', ['missing', '--out', 'out', '--kind', 'depth', '--model', 'missing'], 'missing'),
    ('make_targets', ['folder', '--out', 'out', '--kind', 'depth', '--model', 'missing'], 'folder'),
    ('make_targets', ['.', '--out', 'out', '--kind', 'depth', '--config', 'config.py', '--weights', 'a'], '--config'),
    ('make_targets', ['.', '--out', 'out', '--kind', 'segmentation'], '--config'),
    (
        'make_targets',
        ['.', '--out', 'out', '--kind', 'depth', '--model', 'a', '--dtype', 'float16', '--device', 'cpu'],
        '--dtype',
    ),
    ('make_targets', ['.', '--out', 'out', '--kind', 'normals', '--library', 'transformers'], '--library'),
    ('make_targets', ['.', '--out', 'out', '--kind', 'depth', '--model', 'missing'], 'missing'),
    ('make_targets', ['.', '--out', 'out', '--kind', 'depth', '--keys', 'text.txt'], 'text.txt'),
    ('pack_lmdb', ['missing', '--targets', 'folder', '--out', 'out'], 'missing'),
    ('pack_lmdb', ['folder', '--targets', 'folder', '--out', 'out'], 'folder'),
    ('pack_lmdb', ['.', '--targets', 'missing', '--out', 'out'], 'missing'),
    ('pack_lmdb', ['.', '--targets', 'folder', '--out', 'out'], 'folder'),
    ('convert_colours', ['missing', '--out', 'out', '--to', 'classes'], 'missing'),
    ('convert_colours', ['folder', '--out', 'out', '--to', 'classes'], 'folder'),
    ('convert_colours', ['.', '--out', 'out', '--to', 'classes'], 'picture.png'),
    ('convert_colours', ['.', '--out', 'out', '--to', 'classes', '--palette', 'nobody'], 'palette'),
    ('convert_colours', ['.', '--out', 'out', '--to', 'colours', '--bedroom'], '--bedroom'),
    ('convert_checkpoint', ['missing.pth', '--out-file', 'out.pth'], 'missing.pth'),
    ('convert_checkpoint', ['picture.png', '--out-file', 'out.pth'], 'picture.png'),
    ('convert_checkpoint', ['folder', '--out-file', 'out.pth'], 'folder'),
    ('convert_checkpoint', ['empty.txt', '--out-file', 'out.pth'], 'empty.txt'),
    ('publish_checkpoint', ['missing.pth', '--out-file', 'out.pth'], 'missing.pth'),
    ('publish_checkpoint', ['picture.png', '--out-file', 'out.pth'], 'picture.png'),
    ('score_tiny_sd', ['folder'], 'folder'),
    ('kitti', ['--out', 'out', '--raw', 'missing', '--depth', 'folder'], '-list'),
    ('kitti', ['--out', 'out', '--raw', 'missing', '--depth', 'folder', '--test-list', 'text.txt'], 'text.txt'),
    ('kitti', ['--out', 'out', '--raw', 'folder', '--depth', 'folder', '--test-list', 'missing.txt'], 'missing.txt'),
    ('kitti', ['--out', 'out', '--raw', 'folder', '--depth', 'folder', '--test-list', 'binary.txt'], 'binary.txt'),
    ('nyu', ['--out', 'out'], '--labelled'),
    ('nyu', ['--out', 'out', '--labelled', 'missing.mat'], '--splits'),
    ('nyu', ['--out', 'out', '--labelled', 'missing.mat', '--splits', 'missing.mat'], 'missing.mat'),
    ('nyu', ['--out', 'out', '--labelled', 'picture.png', '--splits', 'picture.png'], 'picture.png'),
    ('nyu', ['--out', 'out', '--sync', 'folder', '--test-list', 'missing.txt'], 'missing.txt'),
    ('nyu', ['--out', 'out', '--sync', 'folder', '--test-list', 'binary.txt'], 'binary.txt'),
    ('make_toy_scenes', ['--formats', 'png'], 'png'),
    ('make_toy_scenes', ['--size', '0'], 'size'),
    ('make_toy_scenes', ['--size', '8', '8', '8'], 'size'),
    ('make_toy_scenes', ['--size', '1000000000'], 'size'),
    ('make_toy_scenes', ['--num-train', '0', '--num-val', '0'], 'num_'),
    ('make_toy_scenes', ['--out', 'text.txt', '--num-train', '1'], 'text.txt'),
    ('swap_backbone', ['config.py', '--out-file', 'out.py'], 'default_scope'),
    ('swap_backbone', ['nobody::a', '--out-file', 'out.py'], 'nobody'),
    ('swap_backbone', ['config.py', '--out-file', 'out.py', '--scope', 'nobody'], 'nobody'),
    ('check_data', ['config.py'], 'train_dataloader'),
    ('constant_depth', ['config.py'], 'config.py'),
    ('benchmark', ['config.py'], 'backbone'),
    ('export_model', ['config.py', 'a.pth', '--out-file', 'model.txt'], '--out-file'),
    ('export_model', ['config.py', 'a.pth', '--out-file', 'model.pt2'], 'DepthEstimator'),
    ('measure_prior', ['--cfg-options', 'nonsense'], 'cfg-options'),
    ('sweep_stock_configs', ['--write', '--check'], '--check'),
    ('sweep_stock_configs', ['--write', '--only', 'a'], '--only'),
]
