"""Convert an official checkpoint of VPD, MetaPrompts, TADP, ECoDepth, EVP or SDPose to a checkpoint of mmdiffperc.

The tool recognises the model by the keys of the checkpoint. It also accepts mmseg's checkpoints of VPD, and the folders
of SDPose. If a weight has no counterpart in the model, or a different shape, the tool reports an error and writes
nothing. You can pass the result to mim test or load_from.

    mmdiffperc convert vpd_seg.pth --out-file vpd_ade20k.pth
"""

import pickle
import sys
from argparse import ArgumentParser
from pathlib import Path

from mmengine.registry import DATASETS, MODELS, init_default_scope

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

CONFIGS = Path(__file__).parents[1] / 'configs'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'weights', 'official checkpoint, or the folder of SDPose')
    add_shared(parser, '--out-file', required=True)
    add_shared(parser, '--config', 'default: the shipped config for this type of checkpoint')
    return parser


def dataset_meta(dataset_cfg):
    """Return the class names and colours that inference tools expect."""
    dataset = dataset_cfg.type  # a class in new-style configs
    if isinstance(dataset, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            dataset = registry.get(dataset)
    meta = {**dataset.METAINFO, **dataset_cfg.get('metainfo', {})}
    if 'from_file' not in meta:
        return meta
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    return parse_pose_metainfo(meta)


def embed_prompts(model, folder):
    """Return the prompts of a model, which a folder does not hold, computed by its text encoder."""
    prompts = model.backbone.prompts.to_empty(device='cpu')
    prompts.init_embeddings(model.backbone.arch, folder)
    return {f'backbone.prompts.{name}': value for name, value in prompts.state_dict().items()}


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    import torch
    from mmengine.runner import save_checkpoint

    from mmdiffperc.compat.config_imports import read_config
    from mmdiffperc.files import whole_file
    from mmdiffperc.weights.official_checkpoints import convert, read_checkpoint, recognise

    weights = read_checkpoint(args.weights)
    layout = recognise(weights)
    cfg = read_config(args.config or CONFIGS / layout.config)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    state_dict = convert(weights, layout, model)
    has_text_encoder = (Path(args.weights) / 'text_encoder').is_dir()
    if has_text_encoder:
        state_dict |= embed_prompts(model, args.weights)
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dataset_meta(cfg.test_dataloader.dataset))
    with whole_file(args.out_file) as partial:
        save_checkpoint(dict(meta=meta, state_dict=state_dict), str(partial))
    print(f'{layout.name}: {len(state_dict)} weights written to {args.out_file}')
    if layout.absent and not has_text_encoder:
        print(
            'Like the original, it has no text encoder. Models load it from model.backbone.prompts.checkpoint='
            f'{cfg.model.backbone.prompts.checkpoint}'
        )


if __name__ == '__main__':
    sys.exit(main())
