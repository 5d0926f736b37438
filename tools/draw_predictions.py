"""Draw a figure of the predictions of a segmentation model or a depth estimator on its test set.

    mmdiffperc draw-predictions CONFIG WEIGHTS --indices 0 1 2 --out-file figure.png

The figure has one row per image:

- depth: image, true depth, predicted depth, and error
- segmentation: image, ground truth, prediction, and the cross-attention maps of two classes that occur in the image,
  with a legend of the class colours below the figure
"""

from __future__ import annotations

import pickle
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from class_legend import LEGEND_INCHES, add_legend
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.registry import DATASETS, init_default_scope

from mmdiffperc_cli.options import FIGURE_SUFFIXES, add_shared, check_indices, file_name, one_line_errors, tool_parser

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset
    from mmengine.structures import BaseDataElement

    from mmdiffperc.inference import ImageInferencer

NUM_ROWS = 4
COLUMNS = 5


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', help='config of a segmentation model or a depth estimator')
    add_shared(parser, 'weights')
    add_shared(parser, '--indices', f'one row each; default: the first {NUM_ROWS}')
    add_shared(parser, '--out-file', type=file_name(*FIGURE_SUFFIXES), default=Path('predictions.png'))
    add_shared(parser, '--device')
    return parser


def predict(inferencer: ImageInferencer, dataset: BaseDataset, index: int, truth: str) -> BaseDataElement:
    """Return one sample of the test set together with its prediction.

    Raises:
        ValueError: The test set has no truth of this name.
    """
    from mmengine.dataset import pseudo_collate

    packed = dataset[index]
    if truth not in packed['data_samples']:
        raise ValueError(f'{packed["data_samples"].img_path}: expected a config whose test pipeline loads {truth}')
    return inferencer.forward(pseudo_collate([packed]))[0].cpu()


def depth_row(sample: BaseDataElement) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image, true depth and predicted depth."""
    from mmdiffperc.inference.image_files import read_image

    image = read_image(sample.img_path)[..., ::-1]
    return image, sample.gt_depth_map.data[0].numpy(), sample.pred_depth_map.data[0].numpy()


def segmentation_figure(inferencer: ImageInferencer, samples: Sequence[BaseDataElement]) -> Figure:
    """Draw a row for each sample, and the legend."""
    size = (2 * COLUMNS, 2.2 * len(samples) + LEGEND_INCHES)
    figure = Figure(figsize=size, dpi=120, layout='constrained')
    grid = figure.subplots(len(samples), COLUMNS, squeeze=False)
    for ax in grid.flat:
        ax.axis('off')
    labels = set().union(*(draw_row(axes, inferencer, sample) for axes, sample in zip(grid, samples, strict=True)))
    add_legend(figure, labels, inferencer.classes, inferencer.dataset_meta['palette'])
    return figure


def draw_row(axes: Sequence[Axes], inferencer: ImageInferencer, sample: BaseDataElement) -> set[int]:
    """Draw a test sample into five axes. The last ones stay empty if the image has few classes.

    Returns:
        set[int]: The labels that occur in the truth or the prediction.
    """
    from mmdiffperc.inference.image_files import read_image
    from mmdiffperc.visualization import attention_maps, overlay

    image = read_image(sample.img_path)[..., ::-1]
    truth, prediction = sample.gt_sem_seg.data[0].numpy(), sample.pred_sem_seg.data[0].numpy()
    maps = attention_maps(inferencer.model, sample.img_path)
    palette = np.zeros((256, 3), np.uint8)  # labels without a class, such as the ignore label, are black
    palette[: len(inferencer.classes)] = inferencer.dataset_meta['palette']
    shown = [('image', image), ('truth', palette[truth]), ('prediction', palette[prediction])]
    shown += [(f'attention: {name}', overlay(image, maps[name])) for name in smallest_classes(truth, tuple(maps))]
    for ax, (title, picture) in zip(axes, shown, strict=False):
        ax.imshow(picture)
        ax.set_title(title, fontsize=9)
    return {*np.unique(truth).tolist(), *np.unique(prediction).tolist()}


def smallest_classes(truth: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Return the names of two classes in the image, preferably the third and fourth largest. Skip tiny regions."""
    areas = np.bincount(truth[truth < len(names)], minlength=len(names))
    by_area = [index for index in np.argsort(-areas) if areas[index] > 0.005 * truth.size]
    return [names[index] for index in (by_area[2:4] if len(by_area) >= 4 else by_area[-2:])]


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from mmdiffperc.files import whole_file
    from mmdiffperc.inference import build_inferencer
    from mmdiffperc.seg.depth.inferencer import DepthInferencer
    from mmdiffperc.visualization import depth_figure

    init_default_scope('mmseg')
    inferencer = build_inferencer(args.config, args.weights, device=args.device, show_progress=False)
    dataset = DATASETS.build(inferencer.model.cfg.test_dataloader.dataset)
    indices = check_indices(args.indices, len(dataset), NUM_ROWS)
    is_depth = isinstance(inferencer, DepthInferencer)
    truth = 'gt_depth_map' if is_depth else 'gt_sem_seg'
    samples = [predict(inferencer, dataset, index, truth) for index in indices]
    figure = depth_figure([*map(depth_row, samples)]) if is_depth else segmentation_figure(inferencer, samples)
    with whole_file(args.out_file) as partial:
        figure.savefig(partial)
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
