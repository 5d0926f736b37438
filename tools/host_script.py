"""Run ``train.py`` or ``test.py`` of the host that a config names."""

import sys
from argparse import REMAINDER, ArgumentParser
from collections.abc import Sequence
from importlib.util import find_spec
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
    # The script imports what the config imports.
    host = Config.fromfile(args.config, import_custom_modules=False).get('default_scope')
    script = find_script(host, name)
    if script is None:
        parser.error(f'{args.config}: expected the default_scope of an installed host, such as mmseg, got {host}')
    import mmdiffperc  # noqa: F401  # mmengine does not import what a config of the new style names

    sys.argv = [name, args.config, *map(find_shipped, args.arguments)]
    run_path(str(script), run_name='__main__')


def find_script(host: str | None, name: str) -> Path | None:
    """Return the path of a script of a host, or None if there is no such host."""
    spec = find_spec(host) if host else None
    script = Path(spec.origin).parent / '.mim' / 'tools' / name if spec and spec.origin else None
    return script if script and script.is_file() else None
