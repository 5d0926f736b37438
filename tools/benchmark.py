"""Measure the time and peak memory of a model, and compare them with a lower bound for its diffusion model.

The lower bound, called the floor, runs plain diffusers with the same weights, images and number of prompts. It encodes
the images and runs one forward pass of the stock UNet2DConditionModel with fused attention, without extracting features
or attention maps. Floor, backbone and model run in turns, so that other load on the machine affects all of them. Each
time ratio is the median over the turns.

    mmdiffperc benchmark configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py --out-file vpd.json

With --flops, the tool counts the parameters and multiply-adds of each part instead. This is fast and needs little
memory.

    mmdiffperc benchmark configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py --flops

With --memory, it counts the peak memory of the tensors in a forward pass, without computing anything. This works for
images of any size on any machine.

    mmdiffperc benchmark configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py --memory --size 1024 2048 --test-mode

The weights are random, so the tool downloads nothing. They stay in float32, and --dtype sets the autocast type, as in
mmengine's training. With --weights-dtype, the tool also measures the model in half precision, as predict --dtype does.

Peak memory does not include weights and inputs. On a GPU, it counts allocated tensors. On a CPU, it is the resident
memory, which the tool measures only on Linux.
"""

import json
import sys
from argparse import ArgumentParser

from mmdiffperc_cli.options import DTYPES, add_shared, one_line_errors, positive, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of a model with DiffusionUNet as its backbone')
    add_shared(parser, '--size', 'height and width', nargs=2, type=positive, default=[512, 512], metavar=('H', 'W'))
    add_shared(parser, '--batch-size')
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--train', action='store_true', help='also measure a training step of the model (mmseg only)')
    kind.add_argument(
        '--flops', action='store_true', help='count parameters and multiply-adds of each part instead of measuring'
    )
    kind.add_argument('--memory', action='store_true', help='count peak memory instead of measuring')
    parser.add_argument(
        '--test-mode', action='store_true', help='also test as the config does, for example with windows (mmseg only)'
    )
    parser.add_argument('--weights-dtype', choices=DTYPES[1:], help='also measure the model with weights of this type')
    add_shared(parser, '--compile')
    add_shared(parser, '--dtype', 'for autocast')
    add_shared(parser, '--device')
    parser.add_argument(
        '--repeats', type=positive, default=5, metavar='N', help='number of turns (default: %(default)s)'
    )
    add_shared(parser, '--out-file', 'JSON')
    add_shared(parser, '--cfg-options')
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from measuring import flops, forward_memory, speed

    from mmdiffperc.files import write_whole

    measuring = flops if args.flops else forward_memory if args.memory else speed
    if args.out_file:
        args.out_file.parent.mkdir(parents=True, exist_ok=True)  # fail before measuring, which takes minutes
    report = measuring.benchmark(args)
    if args.out_file:
        write_whole(args.out_file, json.dumps(report, indent=2) + '\n')
    print(measuring.table(report['results']))


if __name__ == '__main__':
    sys.exit(main())
