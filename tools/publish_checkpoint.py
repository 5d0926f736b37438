"""Reduce the checkpoint of a training to what prediction needs: the weights, and the names and colours of the classes.

Optimizer, log and config are left out, and floating-point weights are stored in half precision unless ``--dtype`` says
otherwise; loading converts them to the type of the model.

    python tools/publish_checkpoint.py work_dirs/demo/iter_1800.pth demo.pth

``--without-shipped`` made the one that ships with the package, ``mmdiffperc/assets/demo``. It leaves out the
frozen autoencoder of tiny-sd, which loading takes from the package.
"""

import argparse
import pickle
import sys

import torch

from mmdiffperc.command_line import one_line_errors
from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.files import whole_file
from mmdiffperc.weights.shipped_autoencoder import SHIPPED, is_shipped, shipped_autoencoder

AUTOENCODER = 'backbone.autoencoder.'
DTYPES = ('float16', 'bfloat16', 'float32')


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint of a training')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument('--dtype', choices=DTYPES, default='float16', help='of the weights (default: %(default)s)')
    parser.add_argument(
        '--without-shipped',
        action='store_true',
        help='leave out the frozen autoencoder of tiny-sd; loading completes it',
    )
    return parser.parse_args(arguments)


def stored_as(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return floating-point weights in another type; counters, and the running statistics of batch norm, stay.

    Raises:
        ValueError: A weight is too large for the type.
    """
    stored = {name: weight if _stays(name, weight) else weight.to(dtype) for name, weight in weights.items()}
    overflown = [name for name, weight in stored.items() if not weight.isfinite().all()]
    if overflown:
        kind = str(dtype).removeprefix('torch.')
        raise ValueError(
            f'{len(overflown)} weights hold numbers that {kind} cannot represent, first {overflown[0]}: choose another '
            '--dtype'
        )
    return stored


def without_shipped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out the autoencoder of tiny-sd but for its biases and norms, by which loading recognises it.

    Raises:
        ValueError: The weights hold no autoencoder, or another one.
    """
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
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    checkpoint = load_file(args.src)
    if not isinstance(checkpoint, dict) or not {'state_dict', 'meta'} <= set(checkpoint):
        raise ValueError(f'{args.src}: expected the checkpoint of a training, with the entries state_dict and meta')
    weights = checkpoint['state_dict']
    if args.without_shipped:
        weights = without_shipped(weights)
    weights = stored_as(weights, getattr(torch, args.dtype))
    meta = {name: value for name, value in checkpoint['meta'].items() if name == 'dataset_meta'}
    with whole_file(args.dst) as partial:
        torch.save(dict(meta=meta, state_dict=weights), partial)
        size = partial.stat().st_size
    print(f'{args.dst}: {len(weights)} weights in {args.dtype}, {size / 1e6:.1f} MB')


if __name__ == '__main__':
    sys.exit(main())
