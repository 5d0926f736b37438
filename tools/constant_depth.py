"""Score the simplest depth estimator: the mean depth of the training set everywhere. What a trained one must beat.

python tools/constant_depth.py configs/vpd/vpd_tiny-sd_1xb8-800_toy-nyu-128x128.py
"""

import argparse

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import PixelData

import mmdiffperc.compat  # noqa: F401  (comes before any host)


def build_dataset(config: Config, split: str) -> BaseDataset:
    """The data set of a split, its images as they are in both splits."""
    return DATASETS.build(dict(config[f'{split}_dataloader'].dataset, pipeline=config.test_pipeline))


def mean_depth(dataset: BaseDataset) -> float:
    """Mean over all pixels that have depth, in metres."""
    maps = (sample['data_samples'].gt_depth_map.data for sample in dataset)
    sums = np.array([(float(depth[depth > 0].double().sum()), int((depth > 0).sum())) for depth in maps])
    total, count = sums.sum(axis=0)
    return total / count


def constant_scores(config: str) -> dict[str, float]:
    """Metrics of the constant, by the test evaluator of a config file."""
    config = Config.fromfile(config)
    init_default_scope(config.default_scope)
    constant = mean_depth(build_dataset(config, 'train'))
    dataset = build_dataset(config, 'test')
    evaluator = Evaluator(config.test_evaluator)
    for sample in (packed['data_samples'] for packed in dataset):
        prediction = torch.full_like(sample.gt_depth_map.data, constant)
        sample.set_data(dict(pred_depth_map=PixelData(data=prediction)))
        evaluator.process([sample])
    return evaluator.evaluate(len(dataset))


def main():
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    for name, value in constant_scores(parser.parse_args().config).items():
        print(f'{name}: {value:.4f}')


if __name__ == '__main__':
    main()
