"""Draw the cross-attention maps of a fine-tuned backbone, which show where it looks for each class in an image.

    mmdiffperc visualize-attention CONFIG WEIGHTS INPUT --classes sphere box --out-file attention.png

The picture shows the image and one map for each class and stride. Each map has its own colour scale.
"""

import pickle
import sys
from argparse import ArgumentParser
from pathlib import Path

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of an mmseg model with cross_attention in its backbone')
    add_shared(parser, 'weights')
    add_shared(parser, 'input', help='image file')
    add_shared(parser, '--classes', 'as in the config', required=True)
    add_shared(parser, '--strides', 'one map per class and stride; default: the finest stride')
    add_shared(parser, '--device')
    add_shared(parser, '--out-file', 'PNG', default=Path('attention.png'))
    return parser


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from mmdiffperc.files import whole_file
    from mmdiffperc.inference import build_inferencer
    from mmdiffperc.inference.image_files import read_image
    from mmdiffperc.visualization import attention_figure, attention_maps

    image = read_image(args.input)
    model = build_inferencer(args.config, args.weights, device=args.device, show_progress=False).model
    maps = {}
    for stride in args.strides or [None]:
        found = attention_maps(model, image, args.classes, stride)
        maps |= {f'{name}, stride {stride}' if stride else name: one for name, one in found.items()}
    with whole_file(args.out_file) as partial:
        attention_figure(image[..., ::-1], maps).savefig(partial, format='png')
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
