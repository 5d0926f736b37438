"""Try the diffusion backbone in stock configs of mmseg, mmdet and mmpose, and write or check configs/README.md.

    python tools/sweep_stock_configs.py --write
    python tools/sweep_stock_configs.py --check
    python tools/sweep_stock_configs.py --only mask2former

The tool replaces the backbone of each config with a small one that has random weights, builds the model, trains it for
one step, and predicts. It prints one table row per config.
"""

import sys
import warnings
from argparse import ArgumentParser
from pathlib import Path

import torch
from mmengine.utils.dl_utils import mmcv_full_available
from stock_configs.entries import stock_configs
from stock_configs.table import compare, make_page, make_row
from stock_configs.trial import try_config

from mmdiffperc.files import write_whole
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

PAGE = Path(__file__).parents[1] / 'configs' / 'README.md'
NO_MMCV = (
    'Skipped, because mmcv-lite is installed instead of full mmcv. docs/installation.md describes how to set up an '
    'environment with full mmcv, which compiles with torch 2.13 or older'
)


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--arch', default='tiny-sd')
    parser.add_argument('--only', default='', metavar='TEXT', help='try only configs whose name contains this text')
    parser.add_argument('--full-mmcv', action='store_true', help='do nothing unless full mmcv is installed')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--write', action='store_true', help=f'write the results (to {PAGE.parent.name}/{PAGE.name})')
    what.add_argument('--check', action='store_true', help=f'fail if {PAGE.parent.name}/{PAGE.name} is out of date')
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.write and (args.only or mmcv_full_available()):
        parser.error('--write: expected all configs and mmcv-lite; leave out --only')
    return args


def sweep(arch: str, only: str) -> dict[str, list[str]]:
    """Try all configs; print the rows of the table one by one, and return them by host."""
    rows = {}
    for host, stocks in stock_configs().items():
        rows[host] = []
        for stock in stocks:
            if only in stock.name:
                torch.manual_seed(0)
                rows[host].append(make_row(stock, try_config(stock, arch)))
                print(rows[host][-1], flush=True)
    return rows


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    if args.full_mmcv and not mmcv_full_available():
        print(NO_MMCV)
        return
    warnings.simplefilter('ignore')  # the hosts issue hundreds of them
    rows = sweep(args.arch, args.only)
    if args.write:
        write_whole(PAGE, make_page(rows))
    if args.check:
        found = [row for lines in rows.values() for row in lines]
        if differing := compare(PAGE.read_text(encoding='utf-8'), found, mmcv_full_available()):
            raise ValueError(f'{PAGE} is out of date; configs that differ: {len(differing)}\n' + '\n'.join(differing))


if __name__ == '__main__':
    sys.exit(main())
