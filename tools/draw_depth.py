"""Draw what a depth estimator learnt: image, true depth, predicted depth, and the error.

python tools/draw_depth.py CONFIG CHECKPOINT --indices 0 1 2 --out figure.png
"""

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torch import nn

import mmdiffperc.compat  # noqa: F401  (comes before any host)

import mmcv  # isort: skip
from mmseg.apis import init_model  # isort: skip
from mmseg.models import DepthEstimator  # isort: skip

from mmdiffperc.command_line import FIGURE_SUFFIXES, bounded, config_file, device, file_name, one_line_errors
from mmdiffperc.files import whole_file
from mmdiffperc.visualization import depth_figure

NUM_ROWS = 4


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file)
    parser.add_argument('checkpoint')
    parser.add_argument(
        '--indices',
        type=bounded(int, 0),
        nargs='+',
        help=f'images of the test set, one a row (default: the first {NUM_ROWS})',
    )
    parser.add_argument('--out', type=file_name(*FIGURE_SUFFIXES), default=Path('depth.png'))
    parser.add_argument('--device', type=device, default='cpu')
    return parser.parse_args(arguments)


@torch.no_grad()
def predict_row(model: nn.Module, packed: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, truth and prediction for one sample of the test set."""
    sample = model.test_step(pseudo_collate([packed]))[0]
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    return image, sample.gt_depth_map.data[0].cpu().numpy(), sample.pred_depth_map.data[0].cpu().numpy()


def check_indices(indices: Sequence[int] | None, number: int) -> Sequence[int]:
    """Return the indices of the images to draw; by default the first ones.

    Raises:
        ValueError: There is no such image.
    """
    indices = range(min(NUM_ROWS, number)) if indices is None else indices
    if absent := [index for index in indices if not 0 <= index < number]:
        raise ValueError(f'--indices: the test set has images 0 to {number - 1}, and no {absent}')
    return indices


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    model = init_model(args.config, args.checkpoint, device=args.device)
    if not isinstance(model, DepthEstimator):
        raise ValueError(f'expected a depth estimator, got {type(model).__name__}: check the config')
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    indices = check_indices(args.indices, len(dataset))
    figure = depth_figure([predict_row(model, dataset[index]) for index in indices])
    with whole_file(args.out) as partial:
        figure.savefig(partial)
    print(f'{args.out} written')


if __name__ == '__main__':
    sys.exit(main())
