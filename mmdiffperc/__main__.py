"""The commands of the package: ``python -m mmdiffperc COMMAND``."""

import argparse
import sys
from collections.abc import Sequence

from mmdiffperc.doctor.command import main as doctor

COMMANDS = {'doctor': doctor}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog='python -m mmdiffperc', epilog='COMMAND --help describes a command.')
    parser.add_argument(
        'command',
        choices=COMMANDS,
        metavar='COMMAND',
        help='doctor: report what is installed, broken or missing, and how to fix it',
    )
    parser.add_argument('arguments', nargs=argparse.REMAINDER, metavar='...', help='arguments of the command')
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments (Sequence[str] | None): The command and its arguments. Default: ``sys.argv``.

    Returns:
        int: The exit status of the command.
    """
    args = build_parser().parse_args(arguments)
    return COMMANDS[args.command](args.arguments)


if __name__ == '__main__':
    sys.exit(main())
