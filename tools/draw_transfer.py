"""Draw what DMP and what it is compared with make of a scene from another domain: image, truth, and a column a model.

Needs the runs of ``measure_prior.py`` for all of DMP's targets.

    python tools/draw_transfer.py --seed 1 --index 3 --out transfer.png
"""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from draw_depth import check_indices
from matplotlib.figure import Figure
from measure_prior import TASKS, run_folder
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope

from mmdiffperc.command_line import FIGURE_SUFFIXES, bounded, device, file_name, one_line_errors, seed
from mmdiffperc.files import whole_file
from mmdiffperc.generative.target_inferencer import build_model

PREFIX = 'dmp-'
PANEL_INCHES = 1.6


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=seed, default=0, help='which runs (default: %(default)s)')
    parser.add_argument(
        '--index', type=bounded(int, 0), default=0, help='which image of the test set (default: %(default)s)'
    )
    parser.add_argument('--out', type=file_name(*FIGURE_SUFFIXES), default=Path('transfer.png'))
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(arguments)


def last_checkpoint(task: str, start: str, seed: int) -> str:
    """Return the file of a run's last checkpoint.

    Raises:
        ValueError: There is no such run.
    """
    folder = Path(run_folder(task, start, seed))
    if not (pointer := folder / 'last_checkpoint').is_file():
        raise ValueError(f'{folder}: no checkpoint: python tools/measure_prior.py --task {task} --seeds {seed}')
    return pointer.read_text()


@torch.no_grad()
def draw_row(task: str, seed: int, index: int, device: str) -> dict[str, np.ndarray]:
    """Image, truth and predictions of one target by their titles, ``(H, W, 3 or 1)``.

    Raises:
        ValueError: A run is missing, or the test set has no such image.
    """
    configs = {start: Config.fromfile(path) for start, path in TASKS[task].configs.items()}
    dataset = DATASETS.build(configs['DMP'].test_dataloader.dataset)
    check_indices([index], len(dataset))
    packed = dataset[index]
    panels = dict(image=packed['inputs'].flip(0) / 255, truth=packed['data_samples'].gt_target.data)
    for start, config in configs.items():
        model = build_model(config.model, last_checkpoint(task, start, seed), lora=None).eval().to(device)
        (sample,) = model.test_step(pseudo_collate([packed]))
        panels[start] = sample.pred_target.data
    return {title: panel.permute(1, 2, 0).cpu().numpy() for title, panel in panels.items()}


def figure_of(rows: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Draw a figure with a row for each target; what has one channel is white where the truth is greatest."""
    titles = list(next(iter(rows.values())))
    size = (len(titles) * PANEL_INCHES + 0.4, len(rows) * PANEL_INCHES + 0.4)
    figure = Figure(figsize=size, dpi=100, layout='constrained')
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for (target, panels), axes in zip(rows.items(), grid, strict=True):
        for ax, (title, panel) in zip(axes, panels.items(), strict=True):
            ax.imshow(panel.clip(0, 1) if panel.shape[2] == 3 else panel, 'gray', vmin=0, vmax=panels['truth'].max())
            ax.set(xticks=[], yticks=[])
            if ax.get_subplotspec().is_first_row():
                ax.set_title(title, fontsize=9)
        axes[0].set_ylabel(target, fontsize=9)
    return figure


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    init_default_scope('mmseg')
    tasks = [task for task in TASKS if task.startswith(PREFIX)]
    rows = {task.removeprefix(PREFIX): draw_row(task, args.seed, args.index, args.device) for task in tasks}
    with whole_file(args.out) as partial:
        figure_of(rows).savefig(partial)
    print(f'{args.out} written')


if __name__ == '__main__':
    sys.exit(main())
