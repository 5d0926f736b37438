"""Make a data set of toy scenes in the on-disk formats that mmseg, mmdet and mmpose read."""

import argparse
import sys

from mmdiffperc.command_line import bounded, one_line_errors, positive, seed
from mmdiffperc.toy_scenes.writers import FORMATS, DatasetSpec, write_dataset


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help='folder to create')
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
    parser.add_argument('--domain', default='a', help="'a', or 'b' for other textures, colours and light")
    parser.add_argument(
        '--formats',
        nargs='+',
        default=list(FORMATS),
        metavar='FORMAT',
        help=f'some of: {", ".join(FORMATS)} (default: all; dmp needs the extra "dmp")',
    )
    parser.add_argument('--workers', type=positive, default=1, help='processes that render (default: %(default)s)')
    return parser.parse_args(arguments)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    spec = DatasetSpec(args.num_train, args.num_val, size, args.seed, args.domain, tuple(args.formats))
    written = write_dataset(args.out, spec, args.workers)
    print(f'{args.out}: {"written" if written else "already there, of the same arguments; left as it is"}.')


if __name__ == '__main__':
    sys.exit(main())
