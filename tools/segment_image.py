"""Segment your own image into the classes of a trained segmentor.

    python tools/segment_image.py CONFIG CHECKPOINT IMAGE --out segmentation

Two files, named after the image: NAME_labels.png, the number of the class at each pixel, as large as the image; and
NAME_overlay.png, to look at.
"""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch

import mmdiffperc.compat  # noqa: F401  (comes before any host)

from mmseg.apis import inference_model, init_model  # isort: skip

from mmdiffperc.command_line import config_file, device, one_line_errors
from mmdiffperc.datasets.target_files import encode_png
from mmdiffperc.files import write_whole
from mmdiffperc.inference.image_files import read_image

OPACITY = 0.5


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a segmentor')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', type=Path)
    parser.add_argument(
        '--out', type=Path, default=Path('segmentation'), metavar='FOLDER', help='(default: %(default)s)'
    )
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(arguments)


def write_labels(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, stem: Path):
    """Write the two files of an image ``(H, W, 3)`` in BGR with labels ``(H, W)``."""
    overlay = OPACITY * palette[labels] + (1 - OPACITY) * image[..., ::-1]
    write_whole(f'{stem}_labels.png', encode_png(labels.astype(np.uint8 if len(palette) <= 256 else np.uint16)))
    write_whole(f'{stem}_overlay.png', encode_png(np.round(overlay).astype(np.uint8)))


def shares(labels: np.ndarray, classes: list[str]) -> str:
    """List the classes in an image with their shares of its pixels, the largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    return ', '.join(f'{classes[i]} {counts[i] / labels.size:.1%}' for i in np.argsort(-counts) if counts[i])


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    model = init_model(args.config, args.checkpoint, args.device)
    image = read_image(args.image)
    result = inference_model(model, image)
    if 'pred_sem_seg' not in result:
        raise ValueError(f'{args.config}: expected the config of a semantic segmentor, got {type(model).__name__}')
    labels = result.pred_sem_seg.data[0].cpu().numpy()
    write_labels(image, labels, np.array(model.dataset_meta['palette']), args.out / args.image.stem)
    print(f'{args.out}: {shares(labels, model.dataset_meta["classes"])}')


if __name__ == '__main__':
    sys.exit(main())
