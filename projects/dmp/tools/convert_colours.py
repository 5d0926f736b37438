"""Convert the colour maps in a folder to label maps, or label maps to colour maps.

    python projects/dmp/tools/convert_colours.py predictions --out classes --to classes
    python projects/dmp/tools/convert_colours.py annotations --out colours --to colours --reduce-zero-label

With --to classes, each pixel gets the class with the nearest colour. Label maps are PNG files with one channel. The
tool keeps the files that are newer than their input: to continue after an interruption, run the same command again. If
maps cannot be read, the tool reports them at the end.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from generation import PALETTES

from mmdiffperc.files import write_whole
from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.generative.evaluation.coloured_segmentation import (
    BEDROOM_CLASSES,
    classes_to_colours,
    colours_to_classes,
    resolve_palette,
)
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.batched_lines import check_settings, in_batches
from mmdiffperc.inference.metadata import visible_files
from mmdiffperc.inference.writers import encode_png
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

SETTINGS = 'convert_colours.json'
NOT_SETTINGS = ('input', 'out')
IGNORED = 255


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder of PNG files')
    add_shared(parser, '--out', required=True)
    parser.add_argument('--to', choices=('classes', 'colours'), required=True, help='what to write')
    parser.add_argument('--palette', default='ade20k_bedroom', help=f'colours ({PALETTES}; default: %(default)s)')
    parser.add_argument('--bedroom', action='store_true', help='use only the classes of the bedroom evaluation of DMP')
    parser.add_argument(
        '--reduce-zero-label', action='store_true', help='label maps in which 0 is ignored and the first class is 1'
    )
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.bedroom and args.to == 'colours':
        parser.error('--bedroom: expected --to classes with it')
    return args


def convert(content: np.ndarray, file: Path, args, palette: np.ndarray) -> np.ndarray:
    """Convert the content of a file.

    Raises:
        ValueError: The shape or type is wrong, or a class has no colour in the palette.
    """
    ndim = 3 if args.to == 'classes' else 2
    if content.ndim != ndim or content.dtype != np.uint8 or content.shape[2:] not in ((), (3,)):
        raise ValueError(f'{file}: expected {"RGB" if ndim == 3 else "one channel"} of 8 bits, got {content.shape}')
    if args.to == 'classes':
        classes = colours_to_classes(content, palette, BEDROOM_CLASSES if args.bedroom else None)
        return (classes + args.reduce_zero_label).astype(np.uint8)
    if args.reduce_zero_label:
        content = content - np.uint8(1)  # 0 becomes 255, which is ignored
    if unknown := set(np.unique(content).tolist()) - {*range(len(palette)), IGNORED}:
        raise ValueError(
            f'{file}: expected the {len(palette)} classes of --palette {args.palette}, 0 to {len(palette) - 1}, or '
            f'{IGNORED} for ignored pixels, got {min(unknown)}'
        )
    return classes_to_colours(content, palette)


def is_current(output: Path, source: Path) -> bool:
    """Return whether an output exists and is not older than its source, such as a newer prediction."""
    return output.exists() and output.stat().st_mtime >= source.stat().st_mtime


def convert_folder(args) -> int:
    """Convert the maps whose output is missing or out of date; return their number."""
    palette = resolve_palette(args.palette)
    files = visible_files(args.input, ('.png',))
    if not files:
        raise FileNotFoundError(f'{args.input}: expected a folder with PNG files')
    todo = [file for file in files if not is_current(args.out / file.name, file)]
    settings = {key: value for key, value in vars(args).items() if key not in NOT_SETTINGS}
    check_settings(args.out / SETTINGS, len(todo) < len(files), **settings)
    with TolerantReader(lambda file: decode_target(file.read_bytes(), str(file))) as read:
        for (file,) in in_batches(todo, 1, len(files) - len(todo), 'maps'):
            if (content := read(file)) is not None:
                write_whole(args.out / file.name, encode_png(convert(content, file, args, palette)))
    return len(todo)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out}: {convert_folder(args)} new maps.')


if __name__ == '__main__':
    sys.exit(main())
