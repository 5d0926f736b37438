"""The commands of the package: ``python -m mmdiffperc COMMAND``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {'doctor': ('mmdiffperc.doctor.command', 'what is installed, what is broken or missing, and what to type')}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments (Sequence[str] | None): The command and its own arguments. Default: those of the process.

    Returns:
        int: The exit status of the command.
    """
    listing = '\n'.join(f'  {name}  {summary}' for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog='python -m mmdiffperc',
        description=f'commands:\n{listing}',
        epilog='COMMAND --help describes a command.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, metavar='...', help='the arguments of the command')
    args = parser.parse_args(arguments)
    module, _ = COMMANDS[args.command]
    return import_module(module).main(args.arguments)


if __name__ == '__main__':
    sys.exit(main())
