"""List the places of a diffusion U-Net that DiffusionUNet can return as features with its argument taps.

    mmdiffperc list-taps sd1-5 --size 512 768
    mmdiffperc list-taps configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py

Each line shows a place, its stride in pixels, its channels, its height and width for an image of --size, and the
compute up to this place as a share of the compute of the autoencoder and the whole U-Net. DiffusionUNet removes the
layers after the last tap, so the share at the last tap is the cost of the backbone. A star marks the places that the
config reads or, for an architecture, the places of the default pyramid.

The tool counts floating-point operations on networks without weights, for one image and one prompt.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from mmdiffperc_cli.options import CONFIG_SUFFIXES, add_shared, config_file, one_line_errors, positive, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(
        parser, 'config', type=config_or_arch,
        help='config of a model with DiffusionUNet as its backbone, or an architecture, such as sd1-5 or a folder',
    )  # fmt: skip
    add_shared(parser, '--size', 'height and width', nargs=2, type=positive, default=[512, 512], metavar=('H', 'W'))
    return parser


def config_or_arch(text: str) -> str:
    """Return the path of a config file, or the architecture.

    Raises:
        argparse.ArgumentTypeError: The config does not exist.
    """
    return config_file(text) if Path(text).suffix in CONFIG_SUFFIXES else text


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from measuring.tap_table import build_backbone, rows

    for line in rows(build_backbone(args.config), tuple(args.size)):
        print(line)


if __name__ == '__main__':
    sys.exit(main())
