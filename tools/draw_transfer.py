"""Draw predictions of DMP and its baselines on scenes of domain b: image, truth, and a column for each model.

First train the models with tools/measure_prior.py, for all five targets of DMP (--task dmp-normals and so on).

    python tools/draw_transfer.py --seed 1 --indices 3 --out-file transfer.png
"""

import pickle
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from toy_experiments.results import Job
from toy_experiments.tasks import DMP_MODELS, TASKS

from mmdiffperc.files import whole_file
from mmdiffperc.generative import TargetInferencer
from mmdiffperc.progress import progress
from mmdiffperc_cli.options import FIGURE_SUFFIXES, add_shared, check_indices, file_name, one_line_errors, tool_parser

PREFIX = 'dmp-'
PANEL_INCHES = 1.6


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--seed', 'the same as in the runs')
    add_shared(parser, '--indices', 'one row per index and target', default=[0])
    add_shared(parser, '--out-file', type=file_name(*FIGURE_SUFFIXES), default=Path('transfer.png'))
    add_shared(parser, '--device')
    return parser


def last_checkpoint(task: str, run: str, seed: int) -> str:
    """Return the path of the last checkpoint of a run.

    Raises:
        ValueError: The run does not exist.
    """
    folder = Job(task, run, seed).folder
    if not (pointer := folder / 'last_checkpoint').is_file():
        raise ValueError(f'{folder}: no checkpoint; run python tools/measure_prior.py --task {task} --seeds {seed}')
    return pointer.read_text()


@torch.no_grad()
def draw_rows(task: str, seed: int, indices: list[int], device: str) -> list[dict[str, np.ndarray]]:
    """Return a dict for each index: image, truth and predictions of a target ``(H, W, 3 or 1)``, by title."""
    configs = {name: Config.fromfile(run.config) for name, run in TASKS[task].runs.items()}
    dataset = DATASETS.build(configs['dmp'].test_dataloader.dataset)
    samples = [dataset[index] for index in check_indices(indices, len(dataset), 1)]
    rows = [dict(image=one['inputs'].flip(0) / 255, truth=one['data_samples'].gt_target.data) for one in samples]
    for name, config in configs.items():
        model = TargetInferencer(config, last_checkpoint(task, name, seed), device).model
        for row, sample in zip(rows, samples, strict=True):
            row[DMP_MODELS[name]] = model.test_step(pseudo_collate([sample]))[0].pred_target.data
    return [{title: panel.permute(1, 2, 0).cpu().numpy() for title, panel in row.items()} for row in rows]


def figure_of(rows: list[tuple[str, dict[str, np.ndarray]]]) -> Figure:
    """Draw a row for each target and index. A single channel is grey, with white at the maximum of the truth."""
    titles = list(rows[0][1])
    size = (len(titles) * PANEL_INCHES + 0.4, len(rows) * PANEL_INCHES + 0.4)
    figure = Figure(figsize=size, dpi=100, layout='constrained')
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for (target, panels), axes in zip(rows, grid, strict=True):
        for ax, (title, panel) in zip(axes, panels.items(), strict=True):
            ax.imshow(panel.clip(0, 1) if panel.shape[2] == 3 else panel, 'gray', vmin=0, vmax=panels['truth'].max())
            ax.set(xticks=[], yticks=[])
            if ax.get_subplotspec().is_first_row():
                ax.set_title(title, fontsize=9)
        axes[0].set_ylabel(target, fontsize=9)
    return figure


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    init_default_scope('mmseg')
    rows = [
        (task.removeprefix(PREFIX), row)
        for task in progress([task for task in TASKS if task.startswith(PREFIX)], 'predict', 'target')
        for row in draw_rows(task, args.seed, args.indices, args.device)
    ]
    with whole_file(args.out_file) as partial:
        figure_of(rows).savefig(partial)
    print(f'{args.out_file} written')


if __name__ == '__main__':
    sys.exit(main())
