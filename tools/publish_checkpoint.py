"""Reduce a training checkpoint to what prediction needs: the weights, and the names and colours of the classes.

The tool removes the optimizer state, the log and the config. It stores floating-point weights in half precision, or in
the type that --dtype selects. Loading converts them to the type of the model. With --eight-bits, it stores the matrices
of the U-Net as 8-bit integers, which are less precise but nearly halve the file again.

    mmdiffperc publish work_dirs/demo/iter_1800.pth --out-file demo.pth

With --without-shipped, the file does not contain the frozen autoencoder of tiny-sd, which is loaded from the package
instead. The demo's checkpoint, mmdiffperc/assets/demo/vpd_toy.pth, was made with both options.
"""

from __future__ import annotations

import pickle
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

if TYPE_CHECKING:
    import torch

AUTOENCODER = 'backbone.autoencoder.'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'weights', help='checkpoint file of a training run')
    add_shared(parser, '--out-file', required=True)
    add_shared(parser, '--dtype', 'for the stored weights', default='float16')
    parser.add_argument('--eight-bits', action='store_true', help='store the matrices of the U-Net in 8 bits')
    parser.add_argument('--without-shipped', action='store_true', help='omit the frozen autoencoder of tiny-sd')
    return parser


def stored_as(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Convert floating-point weights to another type, except the running statistics of batch norm.

    Raises:
        ValueError: A weight is too large for the type.
    """
    stored = {name: weight if _stays(name, weight) else weight.to(dtype) for name, weight in weights.items()}
    overflown = [name for name, weight in stored.items() if not weight.isfinite().all()]
    if overflown:
        kind = str(dtype).removeprefix('torch.')
        raise ValueError(
            f'{len(overflown)} weights hold numbers that {kind} cannot represent, such as {overflown[0]}: choose '
            'another --dtype'
        )
    return stored


def without_shipped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the autoencoder of tiny-sd, except its biases and norms, by which loading recognises it.

    Raises:
        ValueError: The weights hold no autoencoder, or a different one.
    """
    from mmdiffperc.weights.shipped_autoencoder import SHIPPED, is_shipped, shipped_autoencoder

    held = {name: weight for name, weight in weights.items() if name.startswith(AUTOENCODER)}
    backbone = AUTOENCODER.partition('.')[0] + '.'
    named = {name.removeprefix(backbone): weight for name, weight in held.items()}
    if not held or not is_shipped(named, shipped_autoencoder()):
        raise ValueError(f'{AUTOENCODER}*: expected the autoencoder of {SHIPPED}; drop --without-shipped')
    return {name: weight for name, weight in weights.items() if name not in held or weight.ndim == 1}


def _stays(name, weight):
    return not weight.is_floating_point() or name.rpartition('.')[2].startswith('running_')


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    import torch

    from mmdiffperc.compat.checkpoint import load_file
    from mmdiffperc.files import whole_file
    from mmdiffperc.weights.eight_bits import with_eight_bits

    checkpoint = load_file(args.weights)
    if not isinstance(checkpoint, dict) or not {'state_dict', 'meta'} <= set(checkpoint):
        raise ValueError(f'{args.weights}: expected a training checkpoint with the entries state_dict and meta')
    weights = checkpoint['state_dict']
    if args.without_shipped:
        weights = without_shipped(weights)
    stored = stored_as(weights, getattr(torch, args.dtype))
    if args.eight_bits:
        stored = with_eight_bits(stored)
    meta = {name: value for name, value in checkpoint['meta'].items() if name == 'dataset_meta'}
    with whole_file(args.out_file) as partial:
        torch.save(dict(meta=meta, state_dict=stored), partial)
        size = partial.stat().st_size
    kind = f'{args.dtype} and 8 bits' if args.eight_bits else args.dtype
    print(f'{args.out_file}: {len(weights)} weights in {kind}, {size / 1e6:.1f} MB')


if __name__ == '__main__':
    sys.exit(main())
