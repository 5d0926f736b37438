"""Convert a checkpoint of a research repository to one of mmdiffperc.

The kind of checkpoint is recognised by its keys. Every weight must find its place, with its shape; otherwise nothing is
written. The result is an ordinary OpenMMLab checkpoint, for ``mim test`` or ``load_from``.

    python tools/convert_checkpoint.py vpd_seg.pth vpd_ade20k.pth
"""

import argparse
import pickle
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import save_checkpoint

from mmdiffperc.command_line import one_line_errors
from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.files import whole_file
from mmdiffperc.weights.official_checkpoints import convert, recognise, unwrap

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint of a research repository')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument('--config', help='config of the model; default: the shipped one of the same kind')
    return parser.parse_args(arguments)


def dataset_meta(dataset_cfg):
    """Return the names and colours of the classes, where inference tools look for them."""
    with DATASETS.switch_scope_and_registry(None) as registry:
        dataset = registry.get(dataset_cfg.type)
    return {**dataset.METAINFO, **dataset_cfg.get('metainfo', {})}


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    weights = unwrap(load_file(args.src))
    layout = recognise(weights)
    cfg = Config.fromfile(args.config or CONFIGS / layout.config)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    state_dict = convert(weights, layout, model)
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dataset_meta(cfg.test_dataloader.dataset))
    with whole_file(args.dst) as partial:
        save_checkpoint(dict(meta=meta, state_dict=state_dict), str(partial))
    print(f'{layout.name}: {len(state_dict)} weights written to {args.dst}')
    if layout.absent:
        print(
            'It holds no text encoder, as the original does not: model.backbone.prompts.checkpoint says where that is '
            f'loaded from, {cfg.model.backbone.prompts.checkpoint}'
        )


if __name__ == '__main__':
    sys.exit(main())
