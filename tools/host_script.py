"""Run ``train.py`` or ``test.py`` of the host that a config names."""

import sys
from argparse import REMAINDER, ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from runpy import run_path

from mmengine.config import Config

from mmdiffperc_cli.options import add_shared, tool_parser
from mmdiffperc_cli.shipped import find_shipped


def build_host_parser(description: str) -> ArgumentParser:
    """Return a parser that takes a config and leaves the other arguments to the script of the host."""
    parser = tool_parser(description)
    # The launcher also sets LOCAL_RANK, which the host reads.
    parser.add_argument('--local-rank', metavar='N', help='set by torch.distributed.launch')
    add_shared(parser, 'config')
    parser.add_argument('arguments', nargs=REMAINDER, metavar='...', help="arguments of the host's script")
    return parser


def run_host_script(name: str, parser: ArgumentParser, arguments: Sequence[str] | None):
    """Run a script of a host in this process.

    Args:
        name (str): ``train.py`` or ``test.py``.
        parser (ArgumentParser): See :func:`build_host_parser`.
        arguments (Sequence[str] | None): The arguments of the command line. Default: ``sys.argv``.
    """
    args = parser.parse_args(arguments)
    try:
        script = find_script(args.config, name)
    except (ValueError, ImportError, OSError) as error:
        parser.error(f'{args.config}: no {name} for its default_scope: {error}')
    sys.argv = [name, args.config, *map(find_shipped, args.arguments)]
    run_path(str(script), run_name='__main__')


def find_script(config: str, name: str) -> Path:
    """Import the host of a config, and return the path of one of its scripts.

    Raises:
        ValueError: The config names no host, or the host has no such script.
        OSError, ImportError: See :func:`.host_imports`.
    """
    # Imported here, because it takes seconds. mmengine does not import what a config of the new style names.
    from mmdiffperc.compat.host_imports import host_imports

    with host_imports():
        # The script imports what the config imports.
        host = Config.fromfile(config, import_custom_modules=False).get('default_scope')
        file = import_module(host).__file__ if host else None  # None: a folder of this name that is no package
        script = Path(file or '').parent / '.mim' / 'tools' / name
        if not script.is_file():
            raise ValueError(f'expected an installed host, such as mmseg, got {host}')
    return script
