"""Predict the targets of a folder of images, as pseudo ground truth to learn from.

    python projects/dmp/tools/make_targets.py data/bedrooms/train data/bedrooms/normals --kind normals
    python projects/dmp/tools/make_targets.py IMAGES OUT --kind depth --library transformers --model Intel/zoedepth-nyu
    python projects/dmp/tools/make_targets.py IMAGES OUT --kind segmentation --config CONFIG --checkpoint CHECKPOINT

Normals, depth, albedo and shading come from diffusers' Marigold pipelines, unless --model names another one; depth from
transformers if --library says so; segmentation from any config and checkpoint of mmseg, as colours of --palette. Depth
is written as npz, all else as PNG, named after the images: a folder that ImageTargetDataset reads and pack_lmdb.py
packs. What is there already is left, so the same command continues after an interruption. Images that cannot be read
are reported at the end.
"""

import argparse
import pickle
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
from generation import add_options, check_settings, generator_of, in_batches, parse_options
from target_predictors import MARIGOLD, Marigold, Segmentor, TransformersDepth

from mmdiffperc.command_line import bounded, config_file, one_line_errors, positive
from mmdiffperc.files import write_whole
from mmdiffperc.generative.target_files import encode_npz
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.image_files import check_names
from mmdiffperc.inference.metadata import list_images
from mmdiffperc.inference.writers import encode_png

KINDS = (*MARIGOLD, 'segmentation')
SETTINGS = 'make_targets.json'
NOT_SETTINGS = ('images', 'out', 'batch_size', 'device')


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument('out', type=Path, help='folder of targets')
    parser.add_argument('--kind', choices=KINDS, required=True)
    parser.add_argument('--library', choices=('diffusers', 'transformers'), default='diffusers')
    parser.add_argument('--model', help='hub id or folder (default: Marigold of that kind)')
    parser.add_argument('--steps', type=positive, metavar='N', help='of denoising (default: those of the model)')
    parser.add_argument('--ensemble-size', type=positive, default=1, metavar='N', help='(default: %(default)s)')
    parser.add_argument(
        '--resolution', type=bounded(int, 0, 8192), metavar='PIXELS', help='longer side in the model; 0: as it is'
    )
    parser.add_argument('--config', type=config_file, help='of a segmentor')
    parser.add_argument('--checkpoint', help='of a segmentor')
    parser.add_argument('--palette', default='ade20k', help='of a segmentation (default: %(default)s)')
    add_options(parser, batch_size=1)
    args = parse_options(parser, arguments)
    if (args.kind == 'segmentation') != bool(args.config and args.checkpoint):
        parser.error('--config and --checkpoint go with --kind segmentation, and it with both of them')
    if args.kind == 'segmentation' and args.dtype != 'float32':
        parser.error('--dtype is not for --kind segmentation, where the config decides')
    if args.library == 'transformers' and (args.kind != 'depth' or not args.model):
        parser.error('--library transformers goes with --kind depth and a --model')
    return args


def load_predictor(args):
    """Load the model that the command line asks for."""
    if args.kind == 'segmentation':
        return Segmentor(args.config, args.checkpoint, args.palette, args.device)
    if args.library == 'transformers':
        return TransformersDepth(args.model, args.device, args.dtype)
    options = dict(steps=args.steps, ensemble_size=args.ensemble_size, resolution=args.resolution)
    return Marigold(args.kind, args.model, args.device, args.dtype, **options)


def predict_batch(predictor, seed: int, images: list[np.ndarray], indices: list[int]) -> list[np.ndarray]:
    """Predict the targets of images of any sizes; neighbours of the same size are predicted together."""
    targets = []
    for _, group in groupby(zip(indices, images, strict=True), lambda pair: pair[1].shape):
        numbers, same_size = zip(*group, strict=True)
        targets += predictor(list(same_size), [generator_of(seed, number) for number in numbers])
    for image, target in zip(images, targets, strict=True):
        if image.shape[:2] != target.shape[:2]:
            raise ValueError(f'The model gave a target of {target.shape[:2]} for an image of {image.shape[:2]}')
    return targets


def make_targets(args) -> int:
    """Write the targets that are not there yet; return how many.

    Raises:
        FileExistsError: Those that are there were made with other settings.
        OSError: The images or the model are not there.
        ValueError: An image is damaged, and all others are done; two would be written to the same file, or the model
            is of another kind.
    """
    names = [name for name, _ in list_images(args.images)]
    check_names([Path(name) for name in names])
    suffix, encode = ('.npz', encode_npz) if args.kind == 'depth' else ('.png', encode_png)
    files = {name: (args.out / name).with_suffix(suffix) for name in names}
    todo = [(index, name) for index, name in enumerate(names) if not files[name].exists()]
    settings = {key: value for key, value in vars(args).items() if key not in NOT_SETTINGS}
    check_settings(args.out / SETTINGS, len(todo) < len(names), **settings)
    predictor = load_predictor(args) if todo else None
    with TolerantReader() as read:
        for batch in in_batches(todo, args.batch_size, len(names) - len(todo), 'targets'):
            images = {pair: image[..., ::-1] for pair in batch if (image := read(args.images / pair[1])) is not None}
            targets = predict_batch(predictor, args.seed, list(images.values()), [index for index, _ in images])
            for (_, name), target in zip(images, targets, strict=True):
                write_whole(files[name], encode(target))
    return len(todo)


@one_line_errors(ValueError, OSError, RuntimeError, ImportError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    print(f'{args.out}: {make_targets(args)} new targets.')


if __name__ == '__main__':
    sys.exit(main())
