"""Render toy scenes and write them in the formats that mmseg, mmdet and mmpose read.

    mmdiffperc toy-scenes

Without options, the tool writes everything that the toy configs need: one folder per format in data/toy. Formats that
already exist are not changed.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, tool_parser

# Those of the package, whose import takes seconds.
DOMAINS = ('a', 'b', 'c', 'd', 'e')
KINDS = ('ade', 'nyu', 'coco', 'refcoco', 'dmp', 'captions')
FORMATS = (*KINDS, *(f'{kind}_{domain}' for domain in DOMAINS[1:] for kind in KINDS), 'refcoco_kinds')
READ_BY_CONFIGS = (*KINDS, 'dmp_b')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', default=Path('data/toy'))
    parser.add_argument(
        '--formats', nargs='+', choices=FORMATS, default=list(READ_BY_CONFIGS), metavar='FORMAT',
        help=f'some of: {", ".join(FORMATS)} (default: {" ".join(READ_BY_CONFIGS)}). Formats that end in _b, _c, _d or '
        '_e contain validation scenes of that domain. The dmp formats need the extra "dmp".',
    )  # fmt: skip
    parser.add_argument(
        '--domain', choices=DOMAINS, default='a',
        help='domain of the other formats, which contain training and validation scenes: rooms (a), rooms with other '
        'textures, colours and light (b), outdoors (c), line drawings of rooms (d), or rooms at night (e) (default: '
        '%(default)s)',
    )  # fmt: skip
    number = dict(type=bounded(int, 0), metavar='N')
    parser.add_argument('--num-train', **number, default=1000, help='number of training scenes (default: %(default)s)')
    parser.add_argument('--num-val', **number, default=200, help='number of validation scenes (default: %(default)s)')
    add_shared(
        parser, '--size', 'one number for square images, or height and width', type=positive, nargs='+', default=[128]
    )
    add_shared(parser, '--seed')
    add_shared(parser, '--workers')
    return parser


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    spec = DatasetSpec(args.num_train, args.num_val, size, args.seed, tuple(args.formats), args.domain)
    written = write_dataset(args.out, spec, args.workers)
    for name in spec.formats:
        print(f'{args.out / name}: {"written" if name in written else "already there"}')


if __name__ == '__main__':
    sys.exit(main())
