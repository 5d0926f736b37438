"""Draw where in an image a fine-tuned backbone looks for some classes: its cross-attention maps, as a PNG.

    python tools/visualize_attention.py CONFIG CHECKPOINT IMAGE --classes sphere box --out attention.png

Beside the image stands one map for each class, with colours from its least to its greatest attention.
"""

import argparse
import pickle
import sys

import torch

import mmdiffperc.compat  # noqa: F401  (comes before any host)

from mmseg.apis import init_model  # isort: skip

from mmdiffperc.command_line import config_file, device, one_line_errors, positive
from mmdiffperc.files import whole_file
from mmdiffperc.inference.image_files import read_image
from mmdiffperc.visualization import attention_figure, attention_maps


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of an mmseg model whose backbone has cross_attention')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', help='image file')
    parser.add_argument('--classes', nargs='+', required=True, metavar='NAME', help='as the config names them')
    parser.add_argument('--stride', type=positive, help='pixels per cell of the maps (default: the finest)')
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', default='attention.png', metavar='FILE', help='PNG to write (default: %(default)s)')
    return parser.parse_args(arguments)


def draw(args):
    """Write the picture.

    Raises:
        OSError: There is no such file.
        ValueError: The file is no image, or see :func:`attention_maps`.
    """
    image = read_image(args.image)
    model = init_model(args.config, args.checkpoint, args.device)
    maps = attention_maps(model, image, args.classes, args.stride)
    with whole_file(args.out) as partial:
        attention_figure(image[..., ::-1], maps).savefig(partial, format='png')


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    draw(args)
    print(f'{args.out}: written.')


if __name__ == '__main__':
    sys.exit(main())
