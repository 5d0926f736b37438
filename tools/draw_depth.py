"""Draw a figure of a depth estimator on its test set: image, true depth, predicted depth, and error.

python tools/draw_depth.py CONFIG WEIGHTS --indices 0 1 2 --out-file figure.png
"""

import pickle
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torch import nn

import mmdiffperc.compat  # noqa: F401  (must come before any host)

import mmcv  # isort: skip
from mmseg.apis import init_model  # isort: skip
from mmseg.models import DepthEstimator  # isort: skip

from mmdiffperc.command_line import (
    FIGURE_SUFFIXES,
    add_shared,
    check_indices,
    file_name,
    one_line_errors,
    tool_parser,
)
from mmdiffperc.files import whole_file
from mmdiffperc.visualization import depth_figure

NUM_ROWS = 4


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', 'of a depth estimator')
    add_shared(parser, 'weights')
    add_shared(parser, '--indices', f'one row each; default: the first {NUM_ROWS}')
    add_shared(parser, '--out-file', type=file_name(*FIGURE_SUFFIXES), default=Path('depth.png'))
    add_shared(parser, '--device')
    return parser


@torch.no_grad()
def predict_row(model: nn.Module, packed: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the image, true depth and predicted depth of a test sample."""
    sample = model.test_step(pseudo_collate([packed]))[0]
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    return image, sample.gt_depth_map.data[0].cpu().numpy(), sample.pred_depth_map.data[0].cpu().numpy()


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    model = init_model(args.config, args.weights, device=args.device)
    if not isinstance(model, DepthEstimator):
        raise ValueError(f'expected a depth estimator, got {type(model).__name__}: check the config')
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    indices = check_indices(args.indices, len(dataset), NUM_ROWS)
    figure = depth_figure([predict_row(model, dataset[index]) for index in indices])
    with whole_file(args.out_file) as partial:
        figure.savefig(partial)
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
