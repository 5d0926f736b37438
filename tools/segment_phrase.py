"""Segment what a sentence refers to in your own image with a trained referring segmentor.

    python tools/segment_phrase.py CONFIG CHECKPOINT IMAGE 'the red sphere left of the blue box' --out phrase

Two files, named after the image: NAME_mask.png, 255 on the object and 0 elsewhere, as large as the image; and
NAME_overlay.png, to look at.
"""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch

import mmdiffperc.compat  # noqa: F401  (comes before any host)

import mmcv  # isort: skip
from mmseg.apis import init_model  # isort: skip

from mmdiffperc.command_line import config_file, device, one_line_errors
from mmdiffperc.files import write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.seg.inference import segment_phrase
from mmdiffperc.visualization import mask_overlay


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a referring segmentor')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', type=Path)
    parser.add_argument('text', help='what to segment, in English')
    parser.add_argument('--out', type=Path, default=Path('phrase'), metavar='FOLDER', help='(default: %(default)s)')
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(arguments)


def write_mask(image: np.ndarray, mask: np.ndarray, stem: Path):
    """Write the two files of an image ``(H, W, 3)`` in BGR."""
    write_whole(f'{stem}_mask.png', encode_png(255 * mask.astype(np.uint8)))
    write_whole(f'{stem}_overlay.png', encode_png(mask_overlay(image[..., ::-1], mask)))


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    model = init_model(args.config, args.checkpoint, args.device)
    mask = segment_phrase(model, args.image, args.text)
    write_mask(mmcv.imread(args.image), mask, args.out / args.image.stem)
    print(f'{args.out}: {mask.sum()} of {mask.size} pixels are {args.text!r:.100}')


if __name__ == '__main__':
    sys.exit(main())
