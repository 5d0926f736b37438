"""Predict targets for the images in a folder, as pseudo ground truth for training.

    python projects/dmp/tools/make_targets.py data/bedrooms/train --out data/bedrooms/normals --kind normals
    python projects/dmp/tools/make_targets.py INPUT --out OUT --kind depth
    python projects/dmp/tools/make_targets.py INPUT --out OUT --kind segmentation --config CONFIG --weights WEIGHTS
    torchrun --nproc-per-node 8 projects/dmp/tools/make_targets.py INPUT --out OUT --kind normals

Marigold pipelines of diffusers predict normals, albedo and shading, unless --model names another pipeline. ZoeDepth, or
another model of transformers, predicts depth in metres; with --library diffusers, Marigold predicts relative depth from
0 to 1. Any config and checkpoint of mmseg predicts segmentation, which is stored in the colours of --palette.

The tool writes depth as npz and other targets as PNG, in files named after the images. ImageTargetDataset reads the
folder, and pack_lmdb.py packs it. The tool keeps existing files: to continue after an interruption, run the same
command again. If images cannot be read, the tool reports them at the end.
"""

import pickle
import sys
from argparse import ArgumentParser
from itertools import groupby

import numpy as np
from generation import PALETTES, add_keys, add_options, generator_of, open_images, parse_options, select, settings_of
from target_predictors import MARIGOLD, ZOEDEPTH, Marigold, Segmentor, TransformersDepth

from mmdiffperc.files import write_whole
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.batched_lines import check_settings, in_batches, shard
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, tool_parser

KINDS = (*MARIGOLD, 'segmentation')
SETTINGS = 'make_targets.json'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder or lmdb of images')
    add_shared(parser, '--out', required=True)
    add_keys(parser)
    parser.add_argument('--kind', choices=KINDS, required=True, help='type of target')
    parser.add_argument(
        '--library', choices=('diffusers', 'transformers'),
        help='library that runs the model (default: transformers for depth, diffusers otherwise)',
    )  # fmt: skip
    add_shared(parser, '--model', f'default: {ZOEDEPTH} for depth, otherwise the Marigold model for --kind')
    add_shared(parser, '--num-steps', "default: the model's")
    add_shared(parser, '--ensemble-size', default=1)
    parser.add_argument(
        '--resolution', type=bounded(int, 0, 8192), metavar='PIXELS',
        help="longer side to which images are resized; 0 keeps their size (default: the model's)",
    )  # fmt: skip
    add_shared(parser, '--config', 'segmentation model')
    add_shared(parser, '--weights', 'segmentation model')
    parser.add_argument('--palette', default='ade20k_bedroom', help=f'colours ({PALETTES}; default: %(default)s)')
    add_options(parser, batch_size=1)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parse_options(parser, arguments)
    if (args.kind == 'segmentation') != bool(args.config and args.weights):
        parser.error('expected --config and --weights together with --kind segmentation')
    if args.kind == 'segmentation' and args.dtype != 'float32':
        parser.error('--dtype cannot be combined with --kind segmentation, where the config determines it')
    if args.library == 'transformers' and args.kind != 'depth':
        parser.error('--library transformers: expected --kind depth with it')
    args.library = args.library or ('transformers' if args.kind == 'depth' else 'diffusers')
    return args


def load_predictor(args):
    """Load the model that the options select."""
    if args.kind == 'segmentation':
        return Segmentor(args.config, args.weights, args.palette, args.device)
    if args.library == 'transformers':
        return TransformersDepth(args.model or ZOEDEPTH, args.device, args.dtype)
    options = dict(num_steps=args.num_steps, ensemble_size=args.ensemble_size, resolution=args.resolution)
    return Marigold(args.kind, args.model, args.device, args.dtype, **options)


def predict_batch(predictor, seed: int, images: list[np.ndarray], indices: list[int]) -> list[np.ndarray]:
    """Predict the targets of images. Consecutive images of equal size form a batch."""
    targets = []
    for _, group in groupby(zip(indices, images, strict=True), lambda pair: pair[1].shape):
        numbers, same_size = zip(*group, strict=True)
        targets += predictor(list(same_size), [generator_of(seed, number) for number in numbers])
    for image, target in zip(images, targets, strict=True):
        if image.shape[:2] != target.shape[:2]:
            raise ValueError(f'expected a target of the size of its image {image.shape[:2]}, got {target.shape[:2]}')
    return targets


def make_targets(args) -> int:
    """Write the missing targets of this process; return their number."""
    all_names, read_image = open_images(args.input)
    names = select(all_names, args.keys, args.input)
    suffix, encode = ('.npz', lambda depth: encode_npz(x=depth)) if args.kind == 'depth' else ('.png', encode_png)
    files = {name: (args.out / name).with_suffix(suffix) for name in names}
    owners = {file: name for name, file in files.items()}
    if twice := [name for name, file in files.items() if owners[file] != name]:
        raise ValueError(
            f'{twice[0]} and {owners[files[twice[0]]]} would have the same target file; rename one of them'
        )
    check_settings(args.out / SETTINGS, any(file.exists() for file in owners), **settings_of(args))
    own = shard(args, len(names))
    numbers = {name: number for number, name in enumerate(all_names)}  # for the seeds, which --keys does not change
    todo = [(numbers[names[index]], names[index]) for index in own if not files[names[index]].exists()]
    predictor = load_predictor(args) if todo else None
    with TolerantReader(read_image) as read:
        for batch in in_batches(todo, args.batch_size, len(own) - len(todo), 'targets'):
            images = {pair: image for pair in batch if (image := read(pair[1])) is not None}
            targets = predict_batch(predictor, args.seed, list(images.values()), [index for index, _ in images])
            for (_, name), target in zip(images, targets, strict=True):
                write_whole(files[name], encode(target))
    return len(todo)


@one_line_errors(ValueError, OSError, RuntimeError, ImportError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out}: {make_targets(args)} new targets.')


if __name__ == '__main__':
    sys.exit(main())
