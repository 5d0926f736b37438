"""Predict the depth of your own images with a trained depth estimator.

    python tools/predict_depth.py CONFIG CHECKPOINT IMAGE --out depth
    python tools/predict_depth.py CONFIG CHECKPOINT FOLDER --out depth --scene kitchen

For every image three files, named after it: NAME.npy, float32 in metres; NAME_depth.png, 16 bits, in millimetres
unless --png-scale says otherwise; NAME_colour.png, to look at. Images of a folder that cannot be read are reported at
the end.
"""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import mmdiffperc.compat  # noqa: F401  (comes before any host)

from mmseg.apis import init_model  # isort: skip

from mmdiffperc.command_line import config_file, device, one_line_errors, positive_float
from mmdiffperc.files import whole_file, write_whole
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.image_files import check_names
from mmdiffperc.inference.metadata import image_files
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.nearest import what_is_there
from mmdiffperc.seg.inference import predict_depth
from mmdiffperc.visualization import colour_depth

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a depth estimator')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', type=Path, help='image file, or a folder of images')
    parser.add_argument('--out', type=Path, default=Path('depth'), metavar='FOLDER', help='(default: %(default)s)')
    parser.add_argument('--scene', help='scene class of the images, as the model names it (default: unknown)')
    parser.add_argument(
        '--png-scale',
        type=positive_float,
        default=1000,
        metavar='UNITS',
        help='16-bit units per metre (default: %(default)s)',
    )
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(arguments)


def find_images(path: Path) -> list[Path]:
    """Return the image itself, or the images of a folder, in order.

    Raises:
        ValueError: No image, or two that would be written to the same files.
    """
    if not path.is_dir():
        return [path]
    images = image_files(path, IMAGE_SUFFIXES)
    if not images:
        raise ValueError(f'{path}: expected images ({", ".join(IMAGE_SUFFIXES)}); {what_is_there(str(path))}')
    check_names(images)
    return images


def write_depth(depth: np.ndarray, stem: Path, png_scale: float):
    """Write the three files of an image.

    Raises:
        ValueError: The depth does not fit into 16 bits.
    """
    units = np.round(np.nan_to_num(depth) * png_scale)  # 0 where the windows of a test leave a column out
    if units.max() > np.iinfo(np.uint16).max:
        raise ValueError(
            f'{stem.name}: {np.nanmax(depth):.1f} m do not fit into 16 bits at {png_scale:g} units per metre; '
            'KITTI, for one, uses --png-scale 256'
        )
    with whole_file(f'{stem}.npy') as partial:
        np.save(partial, depth)
    write_whole(f'{stem}_depth.png', encode_png(units.astype(np.uint16)))
    write_whole(f'{stem}_colour.png', encode_png(colour_depth(depth)))


def predict(args) -> int:
    """Predict and write; return the number of images.

    Raises:
        ValueError: See :func:`predict_depth` and :func:`write_depth`; an image cannot be read, and the others are done.
    """
    images = find_images(args.image)
    model = init_model(args.config, args.checkpoint, args.device)
    with TolerantReader() as read:
        for image in tqdm(images, unit='image'):
            if (pixels := read(image)) is not None:
                write_depth(predict_depth(model, pixels, args.scene), args.out / image.stem, args.png_scale)
    return len(images)


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    number = predict(args)
    print(f'{args.out}: depth maps written: {number}')


if __name__ == '__main__':
    sys.exit(main())
