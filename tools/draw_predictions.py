"""Draw a figure of a segmentation model on its test set: image, truth, prediction, and two cross-attention maps.

    python tools/draw_predictions.py CONFIG WEIGHTS --indices 0 1 2 --out-file figure.png

The attention maps show two classes that occur in the image. A legend below the figure names the colours of the classes.
"""

import pickle
import sys
from argparse import ArgumentParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.registry import DATASETS
from torch import nn

import mmdiffperc.compat  # noqa: F401  (must come before any host)

import mmcv  # isort: skip
from mmseg.apis import inference_model, init_model  # isort: skip

from mmdiffperc.command_line import (
    FIGURE_SUFFIXES,
    add_shared,
    check_indices,
    file_name,
    one_line_errors,
    tool_parser,
)
from mmdiffperc.files import whole_file
from mmdiffperc.visualization import attention_maps, overlay

NUM_ROWS = 4
COLUMNS = 5
LEGEND_INCHES = 0.4


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config', 'of a segmentation model')
    add_shared(parser, 'weights')
    add_shared(parser, '--indices', f'one row each; default: the first {NUM_ROWS}')
    add_shared(parser, '--out-file', type=file_name(*FIGURE_SUFFIXES), default=Path('predictions.png'))
    add_shared(parser, '--device')
    return parser


def draw_row(axes: list[Axes], model: nn.Module, sample) -> set[int]:
    """Draw a test image into five axes. The last ones stay empty if the image has few classes.

    Returns:
        set[int]: The labels that occur in the truth or the prediction.

    Raises:
        ValueError: The image has no labels.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(f'{sample.img_path}: expected a config of semantic segmentation, which loads gt_sem_seg')
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    truth = sample.gt_sem_seg.data[0].numpy()
    prediction = inference_model(model, sample.img_path).pred_sem_seg.data[0].cpu().numpy()
    maps = attention_maps(model, sample.img_path)
    palette = np.zeros((256, 3), np.uint8)  # labels without a class, such as the ignore label, are black
    palette[: len(model.dataset_meta['palette'])] = model.dataset_meta['palette']
    shown = [('image', image), ('truth', palette[truth]), ('prediction', palette[prediction])]
    shown += [(f'attention: {name}', overlay(image, maps[name])) for name in smallest_classes(truth, tuple(maps))]
    for ax, (title, picture) in zip(axes, shown, strict=False):
        ax.imshow(picture)
        ax.set_title(title, fontsize=9)
    return {*np.unique(truth).tolist(), *np.unique(prediction).tolist()}


def add_legend(figure: Figure, labels: set[int], classes: list[str], palette: list[list[int]]):
    """Add a legend with the classes of these labels; labels without a class are left out."""
    patches = [
        Patch(facecolor=np.divide(palette[label], 255), edgecolor='grey', label=classes[label])
        for label in sorted(labels)
        if label < len(classes)
    ]
    figure.legend(handles=patches, ncols=len(patches), loc='outside lower center', fontsize=8, frameon=False)


def smallest_classes(truth: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Return the names of two classes in the image, preferably the third and fourth largest. Skip tiny regions."""
    areas = np.bincount(truth[truth < len(names)], minlength=len(names))
    by_area = [index for index in np.argsort(-areas) if areas[index] > 0.005 * truth.size]
    return [names[index] for index in (by_area[2:4] if len(by_area) >= 4 else by_area[-2:])]


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    model = init_model(args.config, args.weights, device=args.device)
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    indices = check_indices(args.indices, len(dataset), NUM_ROWS)
    size = (2 * COLUMNS, 2.2 * len(indices) + LEGEND_INCHES)
    figure, grid = plt.subplots(len(indices), COLUMNS, figsize=size, squeeze=False, layout='constrained')
    for ax in grid.flat:
        ax.axis('off')
    rows = zip(grid, indices, strict=True)
    labels = set().union(*(draw_row(axes, model, dataset[index]['data_samples']) for axes, index in rows))
    add_legend(figure, labels, model.dataset_meta['classes'], model.dataset_meta['palette'])
    with whole_file(args.out_file) as partial:
        figure.savefig(partial, dpi=120)
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
