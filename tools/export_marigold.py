"""Export a trained OneStepDiffusion to a diffusers folder, which the pipelines of Marigold in diffusers load.

The README.md in the folder shows how to call the pipeline so that it predicts what the model predicts. The folder also
loads here: see mmdiffperc import-published.

    mmdiffperc export-marigold CONFIG WEIGHTS --out FOLDER

The pipeline processes images at the model's processing_res, not at the size to which the config's test pipeline resizes
them. If the longer side was 640 pixels in training, export with --cfg-options model.processing_res=640.
"""

import pickle
import sys
from argparse import ArgumentParser

from mmengine.config import Config

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config')
    add_shared(parser, 'weights', 'or adapter, or diffusers folder')
    add_shared(parser, '--out', required=True)
    add_shared(parser, '--cfg-options')
    return parser


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, ImportError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from mmdiffperc.generative import OneStepDiffusion
    from mmdiffperc.generative.marigold_export import export_marigold
    from mmdiffperc.inference import build_inferencer

    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    inferencer = build_inferencer(config, args.weights, device='cpu')
    model = inferencer.model
    if not isinstance(model, OneStepDiffusion):
        raise ValueError(f'{args.config}: expected a config of OneStepDiffusion, got one of {type(model).__name__}')
    export_marigold(model, args.out)
    print(f'{args.out}: written; its README.md shows how to run it')
    if inferencer.size and not model.processing_res:
        print(
            f'The test pipeline resizes the shorter side of images to {inferencer.size} pixels, but the exported model '
            'keeps their size: set model.processing_res in --cfg-options to the length of the longer side'
        )


if __name__ == '__main__':
    sys.exit(main())
