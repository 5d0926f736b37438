"""Write the config of OneStepDiffusion for a diffusers folder of Marigold, E2E-FT, Lotus or GenPercept.

    mmdiffperc import-published WEIGHTS --out-file CONFIG
    mmdiffperc predict CONFIG WEIGHTS INPUT... --out PREDICTIONS

mim test expects a checkpoint. Write one as well:

    mmdiffperc import-published WEIGHTS --out-file CONFIG --checkpoint-file model.pth

WEIGHTS is a local copy of a published model, for example from "hf download prs-eth/marigold-depth-v1-1 --local-dir
FOLDER", or a folder that mmdiffperc export-marigold wrote. To predict with a model that has a config in
configs/one_step/published, you do not need this tool.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from mmengine.config import Config

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

# Those of the package, whose import takes seconds.
MODALITIES = ('depth', 'disparity', 'normals')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'weights', help='diffusers folder')
    add_shared(parser, '--out-file', required=True)
    parser.add_argument('--modality', choices=MODALITIES, help='what the model predicts, if the folder does not say')
    parser.add_argument('--checkpoint-file', type=Path, metavar='FILE', help='checkpoint to write, for mim test')
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from mmengine.runner import save_checkpoint

    from mmdiffperc.files import whole_file, write_whole
    from mmdiffperc.generative import OneStepDiffusion
    from mmdiffperc.generative.published import published_settings

    settings = published_settings(args.weights, args.modality)
    config = Config(dict(custom_imports=dict(imports=['mmdiffperc']), model=dict(type='OneStepDiffusion', **settings)))
    if args.checkpoint_file:
        model = OneStepDiffusion(**settings)
        model.init_weights()
        with whole_file(args.checkpoint_file) as partial:
            save_checkpoint(dict(meta=dict(cfg=config.pretty_text), state_dict=model.state_dict()), str(partial))
    write_whole(args.out_file, config.pretty_text)
    print(f'{args.out_file}: written for {args.weights}')


if __name__ == '__main__':
    sys.exit(main())
