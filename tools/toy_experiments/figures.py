"""The figures of toy results in the texts, which are drawn from the same files as the tables."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from mmdiffperc.files import whole_file

from .tables import LAYOUTS, Table, obstacle


@dataclass(frozen=True)
class Curves:
    """A line for each column of a table over its rows. Bars show the lowest and the highest value of several seeds.

    Args:
        table (str): Key of ``LAYOUTS``.
        measure (str): Title of the vertical axis.
    """

    table: str
    measure: str

    def draw(self) -> Figure:
        """Return the figure.

        Raises:
            FileNotFoundError: Results are missing.
        """
        layout: Table = LAYOUTS[self.table]
        figure = Figure(figsize=(8, 3.5), dpi=120, layout='constrained')
        ax = figure.subplots()
        rows = [texts[-1].strip('`') for texts in layout.rows]
        for title, column in zip(layout.columns, zip(*layout.grid, strict=True), strict=True):
            seeds = [value.read() for value in column]
            means = [mean(values) for values in seeds]
            below = [middle - min(values) for middle, values in zip(means, seeds, strict=True)]
            above = [max(values) - middle for middle, values in zip(means, seeds, strict=True)]
            ax.errorbar(rows, means, (below, above), marker='o', capsize=3, label=title)
        ax.set_ylabel(self.measure)
        ax.grid(axis='y', alpha=0.3)
        ax.spines[['top', 'right']].set_visible(False)
        ax.tick_params(axis='x', labelrotation=20)
        ax.legend(frameon=False)
        return figure


FIGURES = {'resources/taps.png': Curves('taps', 'mIoU of a linear probe')}


def write_figures() -> dict[str, str]:
    """Draw the figures, and return the obstacle of each one that was left unchanged."""
    left = {}
    for name, curves in FIGURES.items():
        if reason := obstacle(curves.table):
            left[name] = reason
        else:
            with whole_file(Path(name)) as partial:
                curves.draw().savefig(partial, format='png')
    return left
