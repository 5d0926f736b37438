"""Draw what a segmentation model learnt: image, truth, prediction, and the cross-attention maps of two classes.

python tools/draw_predictions.py CONFIG CHECKPOINT --indices 0 1 2 --out figure.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from mmengine.registry import DATASETS
from torch import nn

import mmdiffperc.compat  # noqa: F401  (comes before any host)

import mmcv  # isort: skip
from mmseg.apis import inference_model, init_model  # isort: skip

from mmdiffperc.visualization import attention_maps, overlay

COLUMNS = 5


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument(
        '--indices', type=int, nargs='+', default=[0, 1, 2, 3], help='images of the test set, one a row'
    )
    parser.add_argument('--out', type=Path, default=Path('predictions.png'))
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def draw_row(axes: list[Axes], model: nn.Module, sample):
    """Draw one image of the test set into five axes."""
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    truth = sample.gt_sem_seg.data[0].numpy()
    prediction = inference_model(model, sample.img_path).pred_sem_seg.data[0].cpu().numpy()
    maps = attention_maps(model, sample.img_path)
    palette = np.array(model.dataset_meta['palette'], dtype=np.uint8)
    shown = [('image', image), ('truth', palette[truth]), ('prediction', palette[prediction])]
    shown += [(f'attention: {name}', overlay(image, maps[name])) for name in smallest_classes(truth, tuple(maps))]
    for ax, (title, picture) in zip(axes, shown, strict=True):
        ax.imshow(picture)
        ax.set_title(title, fontsize=9)
        ax.axis('off')


def smallest_classes(truth: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Names of two classes in the image that are neither its largest nor mere specks."""
    areas = np.bincount(truth[truth < len(names)], minlength=len(names))
    by_area = [index for index in np.argsort(-areas) if areas[index] > 0.005 * truth.size]
    return [names[index] for index in (by_area[2:4] if len(by_area) >= 4 else by_area[-2:])]


def main():
    """Draw the figure."""
    args = parse_args()
    model = init_model(args.config, args.checkpoint, device=args.device)
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    figure, grid = plt.subplots(
        len(args.indices), COLUMNS, figsize=(2 * COLUMNS, 2.2 * len(args.indices)), squeeze=False, layout='tight'
    )
    for axes, index in zip(grid, args.indices, strict=True):
        draw_row(axes, model, dataset[index]['data_samples'])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)
    print(f'{args.out} written')


if __name__ == '__main__':
    main()
