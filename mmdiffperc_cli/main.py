"""The command ``mmdiffperc``: it runs the tools of the folder ``tools``."""

import sys
from argparse import REMAINDER, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mmdiffperc_cli.shipped import PACKAGE, TOOLS


class Command(NamedTuple):
    """A tool and what it does.

    Args:
        module (str): The module of the tool. It has a function ``main``.
        help (str): One line for ``mmdiffperc --help``.
        folder (Path): The folder that holds the module. Default: the tools.
    """

    module: str
    help: str
    folder: Path = TOOLS


COMMANDS = {
    'predict': Command('predict', 'predict your own images and videos'),
    'app': Command('app', 'serve a page on which visitors predict their images'),
    'train': Command('train', 'train a model'),
    'test': Command('test', 'evaluate a model on a data set'),
    'demo': Command('demo', 'train a small model on toy scenes, and draw its predictions'),
    'toy-scenes': Command('make_toy_scenes', 'write data sets of toy scenes'),
    'caption': Command('caption_images', 'caption images with an image-to-text model'),
    'check-data': Command('check_data', 'check the data sets that a config reads'),
    'swap': Command('swap_backbone', 'replace the backbone in a config'),
    'list-taps': Command('list_taps', 'list the places in a U-Net that can become features'),
    'probe-taps': Command('probe_taps', 'compare these places by linear probing'),
    'benchmark': Command('benchmark', 'measure the time and memory of a model'),
    'count-memory': Command('count_memory', 'count the memory of a training step, without a GPU'),
    'plan': Command('plan', 'choose how to train on several GPUs, without one'),
    'visualize-attention': Command('visualize_attention', 'draw cross-attention maps'),
    'draw-predictions': Command('draw_predictions', 'draw predictions beside the ground truth'),
    'convert': Command('convert_checkpoint', 'convert an official checkpoint'),
    'import-published': Command('import_published', 'write a config for a published one-step model'),
    'export': Command('export_model', 'export a model to ONNX or torch.export'),
    'export-marigold': Command('export_marigold', 'export a one-step model for diffusers'),
    'publish': Command('publish_checkpoint', 'make a checkpoint smaller before you share it'),
    # Found without its parent package, because it must run where `import mmdiffperc` fails.
    'doctor': Command('doctor.command', 'report what is installed, broken or missing', PACKAGE),
}


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    width = max(map(len, COMMANDS))
    commands = '\n'.join(f'  {name:{width}}  {command.help}' for name, command in COMMANDS.items())
    parser = ArgumentParser(
        prog='mmdiffperc',
        description=f'Run a tool of mmdiffperc. COMMAND --help describes it.\n\n{commands}',
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND', help='one of the commands above')
    parser.add_argument('arguments', nargs=REMAINDER, metavar='...', help='arguments of the command')
    return parser


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run a command.

    Args:
        arguments (Sequence[str] | None): The command and its arguments. Default: ``sys.argv``.

    Returns:
        int | None: The exit status of the command.
    """
    args = build_parser().parse_args(arguments)
    command = COMMANDS[args.command]
    sys.argv[0] = f'mmdiffperc {args.command}'  # the name in messages of argparse
    sys.path.insert(0, str(command.folder))  # as if Python ran the file
    return import_module(command.module).main(args.arguments)
