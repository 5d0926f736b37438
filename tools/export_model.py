"""Export a trained model, or a part of it, to a file that runs without mmdiffperc.

    mmdiffperc export CONFIG WEIGHTS --out-file model.onnx --size 512 512
    mmdiffperc export CONFIG WEIGHTS --out-file backbone.onnx --part backbone --dynamic

The tool compares the file with PyTorch on random inputs, and prints the largest difference. If the difference is too
large, it writes no file. The metadata of the file describes the inputs, their normalisation and the outputs.

The parts are 'model', 'backbone' and, for generative models, 'encoder', 'denoiser', 'decoder' and 'text-encoder'. ONNX
requires additional packages: pip install 'mmdiffperc[export]'.
"""

import json
import pickle
import sys
from argparse import ArgumentParser
from importlib.util import find_spec

from mmdiffperc_cli.options import add_shared, one_line_errors, positive, tool_parser

SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}
NEEDED = ('onnx', 'onnxruntime', 'onnxscript')
SIZE = [512, 512]


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config')
    add_shared(parser, 'weights', 'or adapter, or diffusers folder')
    add_shared(parser, '--out-file', 'ending with .onnx or .pt2', required=True)
    parser.add_argument(
        '--format',
        choices=SUFFIXES,
        help="format of the file: 'onnx' is .onnx, 'torch-export' is .pt2 for torch.export.load (default: by suffix)",
    )
    parser.add_argument('--part', default='model', metavar='NAME', help='part to export (default: %(default)s)')
    sizes = parser.add_mutually_exclusive_group()
    add_shared(
        sizes,
        '--size',
        'height and width; default: those of the config, or 512 512',
        nargs=2,
        type=positive,
        metavar=('H', 'W'),
    )
    sizes.add_argument('--dynamic', action='store_true', help='export for all sizes of images and batches')
    add_shared(parser, '--batch-size')
    add_shared(parser, '--cfg-options')
    return parser


def check_packages():
    """Check that the packages for ONNX are installed.

    Raises:
        ImportError: One of them is missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"export to ONNX needs {', '.join(missing)}: pip install 'mmdiffperc[export]'")


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, ImportError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    suffixes = [SUFFIXES[args.format]] if args.format else list(SUFFIXES.values())
    if args.out_file.suffix not in suffixes:
        raise ValueError(f'--out-file: expected a name that ends with {" or ".join(suffixes)}, got {args.out_file}')
    if args.out_file.suffix == SUFFIXES['onnx']:
        check_packages()

    # Imported here, so that help and wrong arguments are answered at once.
    from mmengine.config import Config

    from mmdiffperc.export import check_sizes, export_part, find_part, normalisation
    from mmdiffperc.inference import build_inferencer

    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    inferencer = build_inferencer(config, args.weights, device='cpu')
    part = find_part(inferencer.model, args.part)
    metadata = dict(normalisation(inferencer.model), config=args.config, part=args.part)
    if 'logits' in part.outputs:
        metadata['classes'] = json.dumps(inferencer.classes)
    sizes = check_sizes(part, args.dynamic, args.size or part.size or SIZE, args.batch_size)
    print(f'{args.part}: exporting, which takes minutes for a large model')
    differences = export_part(part, args.out_file, sizes, args.dynamic, metadata)
    for name, difference in differences.items():
        print(f'{name}: largest difference from PyTorch: {difference:.1e} of the largest number')
    shown = ', '.join(f'{batch} x {height} x {width}' for batch, (height, width) in sizes)
    print(f'{args.out_file}: written; compared for images of {shown} (batch, height, width)')


if __name__ == '__main__':
    sys.exit(main())
