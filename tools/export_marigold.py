"""Export a trained OneStepDiffusion to a diffusers folder, which the pipelines of Marigold in diffusers load.

The README.md in the folder shows how to call the pipeline so that it predicts what the model predicts. The folder also
loads here: see import_published.py.

    python tools/export_marigold.py CONFIG WEIGHTS --out FOLDER
"""

import pickle
import sys
from argparse import ArgumentParser

from mmengine.config import Config

from mmdiffperc.command_line import add_shared, one_line_errors, tool_parser
from mmdiffperc.generative import OneStepDiffusion
from mmdiffperc.generative.marigold_export import export_marigold
from mmdiffperc.inference import build_inferencer


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
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    model = build_inferencer(config, args.weights, device='cpu').model
    if not isinstance(model, OneStepDiffusion):
        raise ValueError(f'{args.config}: expected a config of OneStepDiffusion, got one of {type(model).__name__}')
    export_marigold(model, args.out)
    print(f'{args.out}: written; its README.md shows how to run it')


if __name__ == '__main__':
    sys.exit(main())
