"""The figures of toy results in the texts, which are drawn from the same files as the tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdiffperc.files import read_json, whole_file

from .layouts import LAYOUTS, missing, obstacle
from .results import jobs_of
from .tables import Table
from .tasks import CONTROLS


@dataclass(frozen=True)
class Curves:
    """A line for each column of a table over its rows. Bars show the lowest and the highest value of several seeds.

    Args:
        table (str): Key of ``LAYOUTS``.
        measure (str): Title of the vertical axis.
        axis (str): Title of the horizontal axis. Default: none.
        over_columns (bool): Draw a line for each row over the columns. Defaults to False.
    """

    table: str
    measure: str
    axis: str = ''
    over_columns: bool = False

    def draw(self) -> Figure:
        """Return the figure. All results must be there."""
        layout: Table = LAYOUTS[self.table]
        rows, columns, grid = (
            [', '.join(texts).replace('`', '') for texts in layout.rows],
            [*layout.columns],
            layout.grid,
        )
        points, lines = (columns, rows) if self.over_columns else (rows, columns)
        figure, ax = plain_figure(self.measure)
        for title, values in zip(lines, grid if self.over_columns else zip(*grid, strict=True), strict=True):
            seeds = [value.read() for value in values]
            means = [mean(one) for one in seeds]
            below = [middle - min(one) for middle, one in zip(means, seeds, strict=True)]
            above = [max(one) - middle for middle, one in zip(means, seeds, strict=True)]
            ax.errorbar(points, means, (below, above), marker='o', capsize=3, label=title)
        ax.set_xlabel(self.axis)
        ax.tick_params(axis='x', labelrotation=0 if max(map(len, points)) < 8 else 20)
        ax.legend(frameon=False, fontsize='medium' if len(lines) < 5 else 'x-small')
        return figure


@dataclass(frozen=True)
class Losses:
    """The training loss of runs over the iterations: a line for each, the mean over the seeds; a panel for each loss.

    Args:
        table (str): Key of ``LAYOUTS``, whose results are needed.
        task (str): Key of ``TASKS``.
        panel_of (Callable): Returns the title of the panel of a run.
        runs (tuple[str, ...]): The runs.
    """

    table: str
    task: str
    panel_of: Callable
    runs: tuple

    def draw(self) -> Figure:
        """Return the figure. All results must be there."""
        titles = [*dict.fromkeys(map(self.panel_of, self.runs))]
        figure = Figure(figsize=(8, 3.5), dpi=120, layout='constrained')
        panels = dict(zip(titles, figure.subplots(1, len(titles), squeeze=False)[0], strict=True))
        for run in self.runs:
            curves = [read_json(job.file)['losses'] for job in jobs_of(self.task, run)]
            means = {int(step): mean(curve[step] for curve in curves) for step in curves[0]}
            panels[self.panel_of(run)].plot([*means], [*means.values()], label=run.replace('-', ' '))
        for title, ax in panels.items():
            ax.set(title=title, xlabel='iteration', ylabel='training loss', yscale='log')
            ax.spines[['top', 'right']].set_visible(False)
            ax.legend(frameon=False, fontsize=8)
        return figure


def plain_figure(measure: str) -> tuple[Figure, Axes]:
    """Return an empty figure with one panel."""
    figure = Figure(figsize=(8, 3.5), dpi=120, layout='constrained')
    ax = figure.subplots()
    ax.set_ylabel(measure)
    ax.grid(axis='y', alpha=0.3)
    ax.spines[['top', 'right']].set_visible(False)
    return figure, ax


def kind_of_control(run: str) -> str:
    """Return the title of the panel with the loss of a run of the fair controls of DMP."""
    return {'process': 'DMP: velocities', 'regression': 'regression: pixels'}[CONTROLS[run][0]]


FIGURES = {
    'resources/taps.png': Curves('taps', 'mIoU of a linear probe'),
    'resources/few_labels.png': Curves('few-labels', 'mIoU', 'labelled images'),
    'resources/named_classes.png': Curves('named-classes', 'mIoU', 'recall of the named classes'),
    'resources/dmp_controls.png': Curves('dmp-controls', 'mean angle (degrees)', over_columns=True),
    'resources/dmp_losses.png': Losses('dmp-controls', 'normals-controls', kind_of_control, tuple(CONTROLS)),
}


def write_figures() -> dict[str, str]:
    """Draw the figures whose results are complete, and return the obstacle of each one that was left unchanged."""
    left = {}
    for name, figure in FIGURES.items():
        if reason := missing(figure.table) or obstacle(figure.table):
            left[name] = reason
        else:
            with whole_file(Path(name)) as partial:
                figure.draw().savefig(partial, format='png')
    return left
