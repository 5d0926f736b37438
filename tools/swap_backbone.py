"""Replace the backbone of a config of mmseg, mmdet or mmpose by the diffusion backbone, and write the new config.

    python tools/swap_backbone.py mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py my_config.py --classes ade

Then train with ``mim train mmseg my_config.py``. The documentation of mmdiffperc.swap_backbone lists what changes.
"""

import argparse
import sys

from mmengine.config import Config, DictAction

from mmdiffperc import swap_backbone
from mmdiffperc.command_line import CONFIG_SUFFIXES, config_file, file_name, one_line_errors, positive
from mmdiffperc.files import brief, whole_file
from mmdiffperc.models.prompts.class_prompts import names_dataset
from mmdiffperc.swap.swap_backbone import read_config, scope_of


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config file, or HOST::PATH for a config of a host')
    parser.add_argument('out', type=file_name(*CONFIG_SUFFIXES), help='config file to write')
    parser.add_argument('--arch', default='sd1-5', help='as in DiffusionUNet (default: %(default)s)')
    parser.add_argument('--checkpoint', help='Stable Diffusion weights (default: the published ones)')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='classes of the prompts, and so of the heads; or the name of a data set: ade',
    )
    parser.add_argument(
        '--strides',
        nargs='+',
        type=positive,
        metavar='PIXELS',
        help='strides of the features (default: those of the old backbone)',
    )
    parser.add_argument('--scope', metavar='HOST', help='host of a config without default_scope, such as mmseg')
    parser.add_argument(
        '--backbone', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
        help='further arguments of DiffusionUNet: with_cp=True lora.r=8',
    )  # fmt: skip
    parser.add_argument('--force', action='store_true', help='replace an existing output file')
    return parser.parse_args(arguments)


def classes_of(names: list[str], scope: str) -> list[str] | str:
    """Return the classes: the names, or the only one as a string if it stands for a data set of the host."""
    if len(names) > 1:
        return names
    if names_dataset(names[0], scope):
        return names[0]
    print(f'{brief(names[0])} is taken for the only class, since no data set has this name')
    return names


def backbone_options(args, scope: str) -> dict:
    """Return the arguments of the backbone from the command line."""
    options = {}
    if args.classes:
        options['prompts'] = dict(type='ClassPrompts', classes=classes_of(args.classes, scope))
    if args.checkpoint:
        options['init_cfg'] = dict(type='Pretrained', checkpoint=args.checkpoint)
    nested = Config(options)
    nested.merge_from_dict(args.backbone)
    return nested.to_dict()


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    if args.out.exists() and not args.force:
        raise ValueError(f'{args.out} exists: choose another name, or replace it with --force')
    cfg = read_config(args.config)
    scope = args.scope or scope_of(cfg, args.config)
    cfg = swap_backbone(cfg, args.strides, scope, args.arch, **backbone_options(args, scope))
    with whole_file(args.out) as partial:
        cfg.dump(partial)
    backbone = cfg.model.backbone
    strides = f'resized to strides {backbone.out_strides}' if 'out_strides' in backbone else 'at their native strides'
    print(f'{args.out}: levels {tuple(backbone.out_indices)} of the U-Net, {strides}')


if __name__ == '__main__':
    sys.exit(main())
