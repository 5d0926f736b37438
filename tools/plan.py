"""Choose how to train on several GPUs: which strategy fits, with which batch, and how long an update takes.

The tool counts a training step of each strategy, without a GPU: the memory of each GPU, exactly; the bytes that it
sends; and its floating-point operations. This takes one or two minutes for each strategy.

    mmdiffperc plan configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py --gpus 8 --gpu-memory 24 --bandwidth 20

docs/scale.md explains the table and how times are predicted.
"""

import sys
from argparse import ArgumentParser

from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, positive_float, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of a segmentation or depth model in mmseg')
    parser.add_argument('--gpus', type=positive, required=True, metavar='N', help='number of GPUs on all nodes')
    parser.add_argument('--nodes', type=positive, default=1, metavar='N', help='number of nodes (default: 1)')
    parser.add_argument('--gpu-memory', type=positive_float, required=True, metavar='GB', help='memory of a GPU')
    parser.add_argument(
        '--bandwidth', type=positive_float, required=True, metavar='GB/S', help='what a GPU sends to others in its node'
    )
    parser.add_argument(
        '--node-bandwidth', type=positive_float, default=12.5, metavar='GB/S', help='what a node sends (default: 12.5)'
    )
    parser.add_argument(
        '--host-bandwidth',
        type=positive_float,
        default=25.0,
        metavar='GB/S',
        help='between a GPU and the memory of the CPU (default: 25)',
    )
    parser.add_argument(
        '--tflops', type=positive_float, metavar='N', help='peak of a GPU in the precision of the config (for times)'
    )
    parser.add_argument(
        '--utilization',
        type=bounded(float, above=0, most=1),
        default=0.4,
        metavar='SHARE',
        help='share of the peak that training reaches (default: 0.4)',
    )
    parser.add_argument(
        '--total-batch-size', type=positive, metavar='N', help='images in an update (default: those of the config)'
    )
    add_shared(
        parser, '--size', 'height and width; default: those of the config', nargs=2, type=positive, metavar=('H', 'W')
    )
    add_shared(parser, '--out-file', 'JSON')
    add_shared(parser, '--cfg-options')
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    if args.gpus % args.nodes:
        raise ValueError(f'--gpus: expected a multiple of the {args.nodes} nodes, got {args.gpus}')
    import json

    from marked_blocks import table
    from measuring import planning
    from measuring.speed import read_config

    from mmdiffperc.files import write_whole

    cfg = read_config(args)
    machine = planning.Machine(
        gpus=args.gpus,
        nodes=args.nodes,
        memory=args.gpu_memory * 1e9,
        bandwidth=args.bandwidth * 1e9,
        node_bandwidth=args.node_bandwidth * 1e9,
        host_bandwidth=args.host_bandwidth * 1e9,
        flops=args.tflops and args.tflops * 1e12 * args.utilization,
    )
    total = args.total_batch_size or planning.total_batch_size(cfg, args.config, args.gpus)
    size = args.size or cfg.model.data_preprocessor.get('size') or (512, 512)
    plans = list(planning.plan(cfg, total, size, machine))
    if args.out_file:
        report = dict(config=args.config, total_batch_size=total, size=size, plans=[each._asdict() for each in plans])
        write_whole(args.out_file, json.dumps(report, indent=2) + '\n')
    print(f'{total} images in an update, of {size[0]} x {size[1]} pixels\n')
    print(table(planning.HEADINGS, planning.rows(plans)))
    print(f'\n{planning.advice(plans)}')


if __name__ == '__main__':
    sys.exit(main())
