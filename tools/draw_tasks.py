"""Draw a figure with one row per task: image, truth and prediction of the models that tools/measure_prior.py trained.

    python tools/draw_tasks.py --validation-scenes 3 8 --out-file tasks.png

The rows are segmentation, depth, referring segmentation, pose, normals, and the attention to a class. The models see
the scenes at the size of their training images. The figure shows scenes and truth at 384 pixels.
"""

import pickle
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from textwrap import fill

import cv2
import numpy as np
from class_legend import LEGEND_INCHES, add_legend
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config
from toy_experiments.results import Job, jobs_of
from toy_experiments.training import last_checkpoint

from mmdiffperc.files import whole_file
from mmdiffperc.inference import ImageInferencer, build_inferencer
from mmdiffperc.progress import progress
from mmdiffperc.toy_scenes.render import Rendering
from mmdiffperc.toy_scenes.vocabulary import TOY_CLASSES, TOY_PALETTE
from mmdiffperc.toy_scenes.writers import DatasetSpec
from mmdiffperc.toy_scenes.writers.base import Sample
from mmdiffperc.toy_scenes.writers.dataset import make_sample
from mmdiffperc.visualization import attention_maps, colour_depth, mask_overlay, overlay
from mmdiffperc_cli.options import FIGURE_SUFFIXES, add_shared, bounded, file_name, one_line_errors, tool_parser

SHOWN_SIZE = 384  # pixels
PANEL_INCHES = 1.5
LINE_LENGTH = 30  # of a sentence below an image, in letters
NUM_SCENES = 2
TITLES = ('image', 'truth', 'prediction')


@dataclass(frozen=True)
class View:
    """A scene at the size at which a model sees it, and as the figure shows it.

    Args:
        small (Sample): What the model sees.
        large (Sample): What the figure shows.
    """

    small: Sample
    large: Sample

    @property
    def image(self) -> np.ndarray:
        """The image for the model ``(h, w, 3)``, BGR."""
        return np.ascontiguousarray(self.small.rendering.image[..., ::-1])

    @property
    def shown(self) -> Rendering:
        """The scene of the figure."""
        return self.large.rendering


def segmentation(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw the classes of the pixels."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(TOY_PALETTE)] = TOY_PALETTE
    labels = predict(inferencer, view)['labels']
    axes[0].imshow(view.shown.image)
    axes[1].imshow(palette[view.shown.semantic])
    axes[2].imshow(palette[enlarged(labels, cv2.INTER_NEAREST)])


def depth(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw depth in colours, the nearest brightest, with the same colours for truth and prediction."""
    found, truth = enlarged(predict(inferencer, view, scene=view.shown.scene.category)['depth']), view.shown.depth
    both = colour_depth(np.concatenate([truth, found], axis=1))
    axes[0].imshow(view.shown.image)
    axes[1].imshow(both[:, : truth.shape[1]])
    axes[2].imshow(both[:, truth.shape[1] :])


def referring(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw the object to which a sentence refers, if possible one with a relation."""
    index, _, sentence = max(view.small.references, key=lambda reference: reference[1].relation is not None)
    mask = predict(inferencer, view, text=sentence)['mask']
    axes[0].imshow(view.shown.image)
    axes[1].imshow(mask_overlay(view.shown.image, view.shown.instance_map == index + 1))
    axes[2].imshow(mask_overlay(view.shown.image, enlarged(mask.astype(np.float32)) > 0.5))
    axes[0].set_xlabel(fill(sentence, LINE_LENGTH), fontsize=7)


def pose(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw the keypoints of the figure and the lines between them."""
    x, y, width, height = figure_of(view.small.rendering).bbox
    found = predict(inferencer, view, boxes=[(x, y, x + width, y + height)])['keypoints'][0]
    found = SHOWN_SIZE / view.image.shape[0] * (found + 0.5) - 0.5
    truth = figure_of(view.shown).keypoints
    for ax, keypoints in ((axes[1], truth[:, :2]), (axes[2], found)):
        ax.imshow(view.shown.image)
        for link in map(list, inferencer.dataset_meta['skeleton_links']):
            if (truth[link, 2] > 0).all():  # both ends are in the image
                for colour, width in (('black', 1.6), ('white', 0.8)):
                    ax.plot(*keypoints[link].T, color=colour, linewidth=width)
        ax.set(xlim=(-0.5, SHOWN_SIZE - 0.5), ylim=(SHOWN_SIZE - 0.5, -0.5))
    axes[0].imshow(view.shown.image)


def normals(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw surface normals as colours."""
    found = predict(inferencer, view, text=view.small.captions[0])['target']
    axes[0].imshow(view.shown.image)
    axes[1].imshow((view.shown.normals + 1) / 2)
    axes[2].imshow(enlarged(found).clip(0, 1))


def attention(axes: list[Axes], inferencer: ImageInferencer, view: View):
    """Draw where the network looks for the class of the largest object."""
    name = max(view.shown.instances, key=lambda instance: instance.area).class_name
    found = attention_maps(inferencer.model, view.image, [name])[name]
    axes[0].imshow(view.shown.image)
    axes[1].imshow(mask_overlay(view.shown.image, view.shown.semantic == TOY_CLASSES.index(name)))
    axes[2].imshow(overlay(view.shown.image, enlarged(found)))
    axes[0].set_xlabel(name, fontsize=7)


@dataclass(frozen=True)
class Row:
    """A row of the figure.

    Args:
        label (str): Its label.
        task (str): Key of ``TASKS``.
        run (str): Name of a run of the task.
        draw (Callable): Draws a view with an inferencer into three axes.
        size (int): Side of the images that the model sees, in pixels. Defaults to 128.
    """

    label: str
    task: str
    run: str
    draw: Callable
    size: int = 128


ROWS = (
    Row('segmentation', 'segmentation', 'pre-trained-3600', segmentation, 192),
    Row('depth', 'depth', 'pre-trained', depth),
    Row('referring\nsegmentation', 'referring', 'pre-trained', referring),
    Row('pose', 'pose', 'pre-trained-7200', pose),
    Row('normals', 'normals-controls', 'process-all-pre-trained', normals),
    Row('attention', 'segmentation', 'pre-trained-3600', attention, 192),
)


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--seed', 'of the training runs')
    parser.add_argument(
        '--validation-scenes', type=bounded(int, 0), nargs='+', metavar='NUMBER',
        help=f'numbers of validation scenes with a figure (default: the first {NUM_SCENES})',
    )  # fmt: skip
    add_shared(parser, '--out-file', type=file_name(*FIGURE_SUFFIXES), default=Path('tasks.png'))
    add_shared(parser, '--device')
    return parser


def predict(inferencer: ImageInferencer, view: View, **options) -> dict:
    """Return the prediction for a scene."""
    return inferencer(view.image, **options)['predictions'][0]


def enlarged(array: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Resize a prediction to the size of the figure's panels."""
    return cv2.resize(array, (SHOWN_SIZE, SHOWN_SIZE), interpolation=interpolation)


def figure_of(rendering: Rendering):
    """Return the figure of a scene, or None."""
    return next((instance for instance in rendering.instances if instance.keypoints is not None), None)


def sample_of(index: int, size: int) -> Sample:
    """Return a validation scene of the toy data at some size."""
    return make_sample(DatasetSpec(1000, 200, size), 'val', index)


def scenes_with_figures(indices: list[int] | None) -> list[int]:
    """Return the numbers of the scenes to draw.

    Raises:
        ValueError: A scene has no figure.
    """
    if indices is None:
        return list(islice((index for index in count() if figure_of(sample_of(index, 64).rendering)), NUM_SCENES))
    if absent := [index for index in indices if not figure_of(sample_of(index, 64).rendering)]:
        raise ValueError(f'--validation-scenes: expected scenes with a figure, got {absent}')
    return indices


def load(row: Row, seed: int, device: str) -> ImageInferencer:
    """Build the inferencer of a row.

    Raises:
        ValueError: The model has not been trained.
    """
    job = job_of(row, seed)
    if not (job.folder / 'last_checkpoint').is_file():
        raise ValueError(
            f'{job.folder}: no checkpoint; run python tools/measure_prior.py --task {row.task} --seeds {job.seed}'
        )
    config = Config.fromfile(job.run.config)
    config.merge_from_dict(job.run.options)
    return build_inferencer(config, last_checkpoint(job.folder), device=device, show_progress=False)


def job_of(row: Row, seed: int) -> Job:
    """Return the training of a row with a seed, or with the first one if the run has no such seed."""
    jobs = jobs_of(row.task, row.run)
    return next((job for job in jobs if job.seed == seed), jobs[0])


def figure_with_rows(rows: tuple[Row, ...], indices: list[int], seed: int, device: str) -> Figure:
    """Draw all rows, and a legend of the classes."""
    columns = len(TITLES) * len(indices)
    size = (columns * PANEL_INCHES + 0.4, len(rows) * (PANEL_INCHES + 0.1) + LEGEND_INCHES)
    figure = Figure(figsize=size, dpi=150, layout='constrained')
    grid = figure.subplots(len(rows), columns, squeeze=False)
    large = [sample_of(index, SHOWN_SIZE) for index in indices]
    for row, axes in zip(progress(rows, 'predict', 'row'), grid, strict=True):
        inferencer = load(row, seed, device)
        for number, (index, shown) in enumerate(zip(indices, large, strict=True)):
            panels = axes[len(TITLES) * number :][: len(TITLES)]
            row.draw(panels, inferencer, View(sample_of(index, row.size), shown))
        axes[0].set_ylabel(row.label, fontsize=9)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
    for ax, title in zip(grid[0], TITLES * len(indices), strict=True):
        ax.set_title(title, fontsize=9)
    add_legend(figure, set(range(len(TOY_CLASSES))), TOY_CLASSES, TOY_PALETTE)
    return figure


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    figure = figure_with_rows(ROWS, scenes_with_figures(args.validation_scenes), args.seed, args.device)
    with whole_file(args.out_file) as partial:
        figure.savefig(partial)
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
