"""Turn a folder of colours into classes, or classes into colours.

    python projects/dmp/tools/convert_colours.py predictions classes --to classes --palette ade20k_bedroom
    python projects/dmp/tools/convert_colours.py annotations colours --to colours --palette ade20k --reduce-zero-label

A pixel gets the class whose colour is nearest. Classes are the values of a PNG of one channel. What is there already is
left, so the same command continues after an interruption. Maps that cannot be read are reported at the end.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from generation import check_settings, in_batches

from mmdiffperc.command_line import one_line_errors
from mmdiffperc.files import write_whole
from mmdiffperc.generative.coloured_segmentation import (
    BEDROOM_CLASSES,
    classes_to_colours,
    colours_to_classes,
    resolve_palette,
)
from mmdiffperc.generative.target_files import decode_target, encode_png
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.metadata import visible_files

SETTINGS = 'convert_colours.json'
NOT_SETTINGS = ('maps', 'out')
IGNORED = 255  # what is no class
PALETTE_HELP = 'or ade20k_bedroom, or a data set, such as mmseg.CityscapesDataset (default: %(default)s)'


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('maps', type=Path, help='folder of PNG')
    parser.add_argument('out', type=Path, help='folder to fill')
    parser.add_argument('--to', choices=('classes', 'colours'), required=True)
    parser.add_argument('--palette', default='ade20k', help=PALETTE_HELP)
    parser.add_argument('--bedroom', action='store_true', help='only classes with which DMP is evaluated in bedrooms')
    parser.add_argument(
        '--reduce-zero-label', action='store_true', help='0 is no class in the files, and the first class is 1'
    )
    args = parser.parse_args(arguments)
    if args.bedroom and args.to == 'colours':
        parser.error('--bedroom goes with --to classes only')
    return args


def read_map(file: Path) -> np.ndarray:
    """Read a map as it is stored.

    Raises:
        OSError: There is no such file.
        ValueError: It is damaged.
    """
    return decode_target(file.read_bytes(), str(file))


def convert(content: np.ndarray, file: Path, args, palette: np.ndarray) -> np.ndarray:
    """Convert the content of a file.

    Raises:
        ValueError: It is not of the right form, or contains a class that the palette does not have.
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
            f'{file}: expected classes from 0 to {len(palette) - 1}, as --palette {args.palette} has colours, or '
            f'{IGNORED} where there is none; got {min(unknown)}'
        )
    return classes_to_colours(content, palette)


def convert_folder(args) -> int:
    """Convert what is not there yet; return how many maps.

    Raises:
        FileExistsError: Those that are there were made with other settings.
        FileNotFoundError: There is no PNG.
        ValueError: A map is of the wrong form, or damaged; all others are converted then.
    """
    palette = resolve_palette(args.palette)
    files = visible_files(args.maps, ('.png',))
    if not files:
        raise FileNotFoundError(f'{args.maps} holds no PNG; check its path')
    todo = [file for file in files if not (args.out / file.name).exists()]
    settings = {key: value for key, value in vars(args).items() if key not in NOT_SETTINGS}
    check_settings(args.out / SETTINGS, len(todo) < len(files), **settings)
    with TolerantReader(read_map) as read:
        for (file,) in in_batches(todo, 1, len(files) - len(todo), 'maps'):
            if (content := read(file)) is not None:
                write_whole(args.out / file.name, encode_png(convert(content, file, args, palette)))
    return len(todo)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    print(f'{args.out}: {convert_folder(args)} new maps.')


if __name__ == '__main__':
    sys.exit(main())
