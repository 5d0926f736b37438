"""Make toy scenes in the on-disk formats that mmseg, mmdet and mmpose read, each in a folder of its own.

    python tools/make_toy_scenes.py

writes all that the toy configs read, into data/toy. What is already there stays, and missing formats are added.
"""

import argparse
import sys
from pathlib import Path

from mmdiffperc.command_line import bounded, one_line_errors, positive, seed
from mmdiffperc.toy_scenes.writers import FORMATS, READ_BY_CONFIGS, DatasetSpec, write_dataset


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('data/toy'), help='folder (default: %(default)s)')
    parser.add_argument(
        '--formats',
        nargs='+',
        default=list(READ_BY_CONFIGS),
        metavar='FORMAT',
        help=f'some of: {", ".join(FORMATS)} (default: {" ".join(READ_BY_CONFIGS)}). Those that end in _b hold '
        'validation scenes with other textures, colours and light. The dmp formats need the extra "dmp".',
    )
    parser.add_argument(
        '--num-train', type=bounded(int, 0), default=1000, help='training scenes (default: %(default)s)'
    )
    parser.add_argument('--num-val', type=bounded(int, 0), default=200, help='validation scenes (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=positive,
        nargs='+',
        default=[128],
        metavar='PIXELS',
        help='side of the images, or their height and width (default: 128)',
    )
    parser.add_argument('--seed', type=seed, default=0, help='equal seeds give equal files (default: %(default)s)')
    parser.add_argument('--workers', type=positive, default=1, help='processes that render (default: %(default)s)')
    return parser.parse_args(arguments)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    spec = DatasetSpec(args.num_train, args.num_val, size, args.seed, tuple(args.formats))
    written = write_dataset(args.out, spec, args.workers)
    for name in spec.formats:
        print(f'{args.out / name}: {"written" if name in written else "already there"}')


if __name__ == '__main__':
    sys.exit(main())
