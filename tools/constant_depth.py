"""Evaluate the mean depth of the training set as a constant prediction, which a trained depth estimator must beat.

python tools/constant_depth.py configs/vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py
"""

import json
import sys
from argparse import ArgumentParser

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.files import write_whole
from mmdiffperc.progress import progress
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of a depth estimator')
    add_shared(parser, '--out-file', 'JSON')
    return parser


def build_dataset(config: Config, split: str) -> BaseDataset:
    """Build the data set of a split, with the test pipeline.

    Raises:
        ValueError: The config lacks the data loader or the pipeline.
    """
    if missing := {f'{split}_dataloader', 'test_pipeline'} - set(config):
        raise ValueError(f'{config.filename}: expected the config of a depth estimator, but it has no {min(missing)}')
    return DATASETS.build(dict(config[f'{split}_dataloader'].dataset, pipeline=config.test_pipeline))


def true_depth(sample: BaseDataElement) -> torch.Tensor:
    """Return the depth map ``(1, H, W)`` of a data sample.

    Raises:
        ValueError: The sample has no depth map.
    """
    if 'gt_depth_map' not in sample:
        raise ValueError(f'{sample.img_path}: expected the config of a depth estimator, which loads gt_depth_map')
    return sample.gt_depth_map.data


def mean_depth(dataset: BaseDataset) -> float:
    """Return the mean of all measured depths in metres.

    Raises:
        ValueError: No pixel has a measurement.
    """
    maps = (true_depth(packed['data_samples']) for packed in progress(dataset, 'mean depth', 'map'))
    sums = np.array([(float(depth[depth > 0].double().sum()), int((depth > 0).sum())) for depth in maps])
    total, count = sums.sum(axis=0)
    if not count:
        raise ValueError(f'{dataset.data_root}: expected depth in the training set, got zeros only')
    return total / count


def constant_scores(config: str) -> dict[str, float]:
    """Return the metrics of the constant prediction, as computed by the test evaluator of the config."""
    config = Config.fromfile(config)
    init_default_scope(config.get('default_scope', 'mmseg'))
    constant = mean_depth(build_dataset(config, 'train'))
    dataset = build_dataset(config, 'test')
    evaluator = Evaluator(config.test_evaluator)
    for sample in (packed['data_samples'] for packed in progress(dataset, 'evaluate', 'map')):
        prediction = torch.full_like(true_depth(sample), constant)
        sample.set_data(dict(pred_depth_map=PixelData(data=prediction)))
        evaluator.process([sample])
    return evaluator.evaluate(len(dataset))


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    scores = constant_scores(args.config)
    if args.out_file:
        write_whole(args.out_file, json.dumps(scores))
    for name, value in scores.items():
        print(f'{name}: {value:.4f}')


if __name__ == '__main__':
    sys.exit(main())
