"""Replace the backbone in a config of mmseg, mmdet or mmpose with the diffusion backbone, and write the new config.

    mmdiffperc swap mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py --out-file my_config.py \\
        --classes ade

Train the result with mim train mmseg my_config.py. The documentation of mmdiffperc.swap_backbone lists what it changes.
"""

import sys
from argparse import ArgumentParser

from mmengine.config import Config, DictAction

from mmdiffperc_cli.options import CONFIG_SUFFIXES, add_shared, file_name, key_value, one_line_errors, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', 'or HOST::PATH for a stock config of a host')
    add_shared(parser, '--out-file', 'config', type=file_name(*CONFIG_SUFFIXES), required=True)
    add_shared(parser, '--arch', default='sd1-5')
    add_shared(parser, '--weights', 'Stable Diffusion: hub id, folder or file; default: the published weights')
    add_shared(parser, '--classes', 'for prompts and heads, or the name of a data set, such as ade')
    add_shared(parser, '--strides', 'default: those of the original backbone')
    parser.add_argument('--scope', metavar='HOST', help='host, such as mmseg, for a config without default_scope')
    parser.add_argument(
        '--backbone', nargs='+', type=key_value, action=DictAction, default={}, metavar='KEY=VALUE',
        help='further arguments of DiffusionUNet, such as with_cp=True lora.r=8',
    )  # fmt: skip
    parser.add_argument('--force', action='store_true', help='overwrite an existing file')
    return parser


def classes_of(names: list[str], scope: str) -> list[str] | str:
    """Return the class names, or a single name as a string if it names a data set of the host."""
    from mmdiffperc.files import brief
    from mmdiffperc.models.prompts.class_prompts import names_dataset

    if len(names) > 1:
        return names
    if names_dataset(names[0], scope):
        return names[0]
    print(f'{brief(names[0])} is used as the only class, because no data set has this name')
    return names


def backbone_options(args, scope: str) -> dict:
    """Return the backbone arguments from the command line."""
    options = {}
    if args.classes:
        options['prompts'] = dict(type='ClassPrompts', classes=classes_of(args.classes, scope))
    if args.weights:
        options['init_cfg'] = dict(type='Pretrained', checkpoint=args.weights)
    nested = Config(options)
    nested.merge_from_dict(args.backbone)
    return nested.to_dict()


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    if args.out_file.exists() and not args.force:
        raise ValueError(f'{args.out_file} exists: choose another name, or overwrite it with --force')
    from mmdiffperc import swap_backbone
    from mmdiffperc.files import whole_file
    from mmdiffperc.swap.swap_backbone import read_config, scope_of

    cfg = read_config(args.config)
    scope = args.scope or scope_of(cfg, args.config)
    cfg = swap_backbone(cfg, args.strides, scope, args.arch, **backbone_options(args, scope))
    with whole_file(args.out_file) as partial:
        cfg.dump(partial)
    backbone = cfg.model.backbone
    strides = f'resized to strides {backbone.out_strides}' if 'out_strides' in backbone else 'at their native strides'
    features = f'levels {tuple(backbone.out_indices)}' if 'out_indices' in backbone else f'{len(backbone.taps)} taps'
    print(f'{args.out_file}: {features} of the U-Net, {strides}')


if __name__ == '__main__':
    sys.exit(main())
