"""Segment your own images into the classes of a trained segmentor.

    python tools/segment_image.py CONFIG CHECKPOINT IMAGE --out segmentation
    python tools/segment_image.py CONFIG CHECKPOINT FOLDER --out segmentation

For each image two files, named after it: NAME_labels.png, the number of the class at each pixel, as large as the image;
and NAME_overlay.png, to look at. Images of a folder that cannot be read are reported at the end.
"""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import mmdiffperc.compat  # noqa: F401  (comes before any host)

from mmseg.apis import inference_model, init_model  # isort: skip

from mmdiffperc.command_line import config_file, device, one_line_errors
from mmdiffperc.files import write_whole
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.image_files import find_images
from mmdiffperc.inference.writers import encode_png

OPACITY = 0.5


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a segmentor')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', type=Path, help='image file, or a folder of images')
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


def segment(model: nn.Module, image: np.ndarray) -> np.ndarray:
    """Return the labels ``(H, W)`` of an image ``(H, W, 3)`` in BGR.

    Raises:
        ValueError: The model is not a semantic segmentor.
    """
    result = inference_model(model, image)
    if 'pred_sem_seg' not in result:
        raise ValueError(f'Expected a semantic segmentor, got {type(model).__name__}: check the config')
    return result.pred_sem_seg.data[0].cpu().numpy()


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    root = args.image if args.image.is_dir() else args.image.parent
    images = {image: args.out / image.relative_to(root).with_suffix('') for image, _ in find_images(args.image)}
    model = init_model(args.config, args.checkpoint, args.device)
    palette, classes = np.array(model.dataset_meta['palette']), model.dataset_meta['classes']
    with TolerantReader() as read:
        for image, stem in images.items():
            if (pixels := read(image)) is not None:
                labels = segment(model, pixels)
                write_labels(pixels, labels, palette, stem)
                print(f'{stem}: {shares(labels, classes)}')


if __name__ == '__main__':
    sys.exit(main())
