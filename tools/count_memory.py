"""Count the GPU memory of a training step, exactly and without a GPU.

The tool runs a forward pass, a backward pass and an update with tensors that have a shape but no values. It counts the
weights, the optimizer state, the gradients, the activations, and the peak of all tensors together. This takes about
half a minute and a gigabyte of memory.

    mmdiffperc count-memory configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py

PyTorch's allocator, CUDA and cuDNN need memory beyond the count, so leave 10 % of the GPU free.
"""

import sys
from argparse import ArgumentParser

from mmdiffperc_cli.options import add_shared, one_line_errors, positive, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of a segmentation or depth model in mmseg')
    add_shared(parser, '--batch-size', 'default: as in the config', default=None)
    add_shared(parser, '--size', 'height and width', nargs=2, type=positive, default=[512, 512], metavar=('H', 'W'))
    add_shared(parser, '--out-file', 'JSON')
    add_shared(parser, '--cfg-options')
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    import json

    from measuring import memory
    from measuring.speed import read_config

    from mmdiffperc.files import write_whole

    cfg = read_config(args)
    args.batch_size = args.batch_size or cfg.train_dataloader.batch_size
    print('Counting; this takes about half a minute ...', file=sys.stderr)
    counted = memory.count(cfg, args.batch_size, args.size)
    if args.out_file:
        report = dict(config=args.config, batch_size=args.batch_size, size=args.size, bytes=counted._asdict())
        write_whole(args.out_file, json.dumps(report, indent=2) + '\n')
    print(memory.table(counted))


if __name__ == '__main__':
    sys.exit(main())
