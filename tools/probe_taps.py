"""Compare the places of a frozen diffusion U-Net by linear probes for semantic segmentation of toy scenes.

    mmdiffperc toy-scenes --formats ade
    mmdiffperc probe-taps data/toy/ade --taps mid_block up_blocks.1 --timesteps 1 100 --out-file probe.json

For each timestep, the U-Net runs once on every image, and the features of all places are kept in half precision. On the
training images, a linear classifier then learns to predict the share of each class in each cell. Its logits, resized to
the size of the images, give the mIoU on the validation images. The latents are scaled as during the training of the
diffusion model.

The JSON file has one entry for each place and timestep. If the tool is interrupted, run it again: it computes only the
missing entries.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, tool_parser

# Those of the package, whose import takes seconds.
NUM_TIMESTEPS = 1000
NOISE_KINDS = ('none', 'fixed', 'random')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder of toy scenes in the format ade')
    add_shared(parser, '--arch', default='tiny-sd')
    add_shared(parser, '--weights', 'hub id, folder or file', default='tiny-sd')
    parser.add_argument(
        '--taps', nargs='+', metavar='NAME', help='places; mmdiffperc list-taps lists them (default: all blocks)'
    )
    parser.add_argument(
        '--timesteps', nargs='+', type=bounded(int, 0, NUM_TIMESTEPS - 1), default=[1], metavar='T',
        help='timesteps (default: 1)',
    )  # fmt: skip
    parser.add_argument(
        '--noise', choices=NOISE_KINDS, default='none', help='noise on the latents (default: %(default)s)'
    )
    parser.add_argument(
        '--num-train', type=positive, default=500, metavar='N', help='number of training scenes (default: %(default)s)'
    )
    parser.add_argument(
        '--num-val', type=positive, default=200, metavar='N', help='number of validation scenes (default: %(default)s)'
    )
    add_shared(parser, '--batch-size', default=8)
    add_shared(parser, '--seed')
    add_shared(parser, '--device')
    add_shared(parser, '--out-file', 'JSON', default=Path('probe_taps.json'))
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from measuring.tap_probing import blocks_of, entry_name, probe, read_results

    from mmdiffperc.files import write_whole

    names = ('input', 'arch', 'weights', 'noise', 'num_train', 'num_val', 'seed')
    settings = {name: str(getattr(args, name)) for name in names}
    results = read_results(args.out_file, settings)
    taps = args.taps or blocks_of(args.arch)
    wanted = {time: [tap for tap in taps if entry_name(tap, time) not in results] for time in args.timesteps}
    for found in probe(args, {time: taps for time, taps in wanted.items() if taps}):
        results |= found
        write_whole(args.out_file, json.dumps(dict(settings=settings, results=results), indent=1))
        for name, measures in found.items():
            print(f'{name}: mIoU {measures["mIoU"]:.2f}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
