"""The kinds of tables and numbers of toy results in the texts, and how they are written from the files of the results.

What has not been measured is said so: a table without any result is one sentence, and a mean of fewer seeds than it
should have tells how many there are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
from marked_blocks import table
from scipy.stats import ttest_1samp, ttest_ind

from mmdiffperc.files import read_json

from .results import Job, jobs_of
from .tasks import TASKS, VALIDATION

NOT_MEASURED = 'not measured yet'
RESAMPLES = 2000


class Cell:
    """Base class of what a table shows in a cell. ``jobs`` are those whose results are needed."""

    jobs: list[Job]

    @property
    def values(self) -> list['Cell']:
        """The cell itself, as a table has several."""
        return [self]

    @property
    def is_complete(self) -> bool:
        """Whether all jobs have been measured."""
        return all(map(self.is_measured, self.jobs))


@dataclass(frozen=True)
class Value(Cell):
    """A metric of a run: the mean over its seeds, or the value of one seed.

    Args:
        task (str): Key of ``TASKS``.
        run (str): Name of a run of the task.
        metric (str): Metric of the task, which also sets the number format.
        test (str): Name of the test. Defaults to the validation at the end of the training.
        seed (int, optional): Default: the mean over all seeds.
        spread (bool): Add the lowest and the highest value in brackets. Defaults to False.
        best (Callable, optional): ``min`` or ``max``: a table shows the best value of the row in bold.
        beyond (str, optional): Name of a test whose value is subtracted, which gives the gap between two tests.
            Default: none.
    """

    task: str
    run: str
    metric: str
    test: str = VALIDATION
    seed: int | None = None
    spread: bool = False
    best: Callable | None = None
    beyond: str | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs whose results are needed. A run without seeds has no value for a seed, so its cell is empty."""
        return [job for job in jobs_of(self.task, self.run) if self.seed in (None, job.seed)]

    @property
    def form(self) -> str:
        """The number format."""
        return TASKS[self.task].metrics[self.metric]

    def is_measured(self, job: Job) -> bool:
        """Return whether the tests of a job have been stored."""
        return job.file.exists() and {self.test, self.beyond or self.test} <= read_json(job.file)['metrics'].keys()

    def by_seed(self) -> dict[int | None, float]:
        """Return the value of each measured job that has this metric. RetinaNet, for example, has none for masks."""
        found = {job.seed: read_json(job.file)['metrics'] for job in self.jobs if self.is_measured(job)}
        return {
            seed: metrics[self.test][self.metric] - (metrics[self.beyond][self.metric] if self.beyond else 0)
            for seed, metrics in found.items()
            if self.metric in metrics[self.test]
        }

    def read(self) -> list[float]:
        """Return the values of :meth:`by_seed`."""
        return list(self.by_seed().values())

    def render(self, bold: bool = False) -> str:
        """Return the text of the value."""
        values, measured = self.read(), sum(map(self.is_measured, self.jobs))
        if not values:
            return NOT_MEASURED if self.jobs and not measured else ''
        limits = f' ({min(values):{self.form}} to {max(values):{self.form}})' if self.spread and len(values) > 1 else ''
        part = f' ({measured} of {len(self.jobs)} seeds)' if measured < len(self.jobs) else ''
        mark = '**' if bold else ''
        return f'{mark}{mean(values):{self.form}}{mark}{limits}{part}'


@dataclass(frozen=True)
class Difference(Cell):
    """How the errors of two runs differ on the same images: run minus baseline, the mean over images and seeds.

    The interval holds 95 % of the means of resampled seeds and images. ``p`` is the p-value of a paired t-test over the
    images, averaged over the seeds. With ``beyond``, the cell shows how much the difference grows from that test to
    this one. Their images differ, so ``p`` is then the p-value of Welch's t-test.

    Args:
        task (str): Key of ``TASKS``.
        run (str): Name of a run of the task.
        baseline (str): Name of the other run.
        metric (str): A measure that the tests store for each image.
        test (str): Name of the test.
        beyond (str, optional): Name of a test whose difference is subtracted. Default: none.
    """

    task: str
    run: str
    baseline: str
    metric: str
    test: str
    beyond: str | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs whose results are needed."""
        return [job for run in (self.run, self.baseline) for job in jobs_of(self.task, run)]

    def is_measured(self, job: Job) -> bool:
        """Return whether the tests of a job have been stored for each image."""
        tests = {test for test in (self.test, self.beyond) if test}
        return job.file.exists() and tests <= read_json(job.file).get('images', {}).keys()

    def differences(self, test: str) -> np.ndarray:
        """Return the differences ``(seeds, images)``, without images that have no error in one of the runs."""
        errors = [
            [read_json(job.file)['images'][test][self.metric] for job in jobs_of(self.task, run)]
            for run in (self.run, self.baseline)
        ]
        first, second = np.array(errors, float)  # None becomes NaN
        differences = first - second
        return differences[:, np.isfinite(differences).all(axis=0)]

    def render(self, bold: bool = False) -> str:
        """Return the text of the difference, or that not all of it has been measured."""
        if not self.is_complete:
            return NOT_MEASURED
        here = self.differences(self.test)
        rng = np.random.default_rng(0)
        found, resampled = here.mean(), resampled_means(here, rng)
        if self.beyond:
            before = self.differences(self.beyond)
            found, resampled = found - before.mean(), resampled - resampled_means(before, rng)
            p = ttest_ind(here.mean(axis=0), before.mean(axis=0), equal_var=False).pvalue
        else:
            p = ttest_1samp(here.mean(axis=0), 0).pvalue
        low, high = np.quantile(resampled, (0.025, 0.975))
        form = '+' + TASKS[self.task].metrics[self.metric]
        chance = 'p < 0.001' if p < 0.001 else f'p = {p:.3f}'
        return f'{found:{form}} ({low:{form}} to {high:{form}}), {chance}'


def resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return means of values ``(seeds, images)`` that are drawn with replacement, seeds and images separately."""
    seeds, images = (rng.integers(size, size=(RESAMPLES, size)) for size in values.shape)
    return np.array([values[rows][:, columns].mean() for rows, columns in zip(seeds, images, strict=True)])


@dataclass(frozen=True)
class Table:
    """A table whose cells are values.

    Args:
        headings (tuple[str, ...]): Headings of the columns with text.
        rows (dict[tuple[str, ...], dict]): By the text of each row, arguments of its values, which replace common ones.
        columns (dict[str, dict]): By the heading of each column with values, arguments of its values.
        common (dict): Arguments of all values.
        value (Callable): Returns a value from its arguments. Default: :class:`Value`.
    """

    headings: tuple
    rows: dict
    columns: dict
    common: dict = field(default_factory=dict)
    value: Callable = Value

    @property
    def grid(self) -> list[list[Cell]]:
        """The values of each row."""
        return [
            [self.value(**self.common | row, **column) for column in self.columns.values()]
            for row in self.rows.values()
        ]

    @property
    def values(self) -> list[Cell]:
        """All values."""
        return [value for row in self.grid for value in row]

    def render(self) -> str:
        """Return the table in Markdown, or a sentence if nothing has been measured."""
        if not any(value.is_measured(job) for value in self.values for job in value.jobs):
            return f'\nNot measured yet. `{command_of(self.values)}` measures this table.\n'
        rows = [(*texts, *render_row(values)) for texts, values in zip(self.rows, self.grid, strict=True)]
        return table((*self.headings, *self.columns), rows)


@dataclass(frozen=True)
class Picture:
    """A figure that the tool draws from the results of a table. It is shown when all of them have been measured.

    Args:
        layout (Table): The table.
        path (str): The file, relative to the page.
        text (str): Alternative text.
    """

    layout: Table
    path: str
    text: str

    @property
    def values(self) -> list[Cell]:
        """The values of the table."""
        return self.layout.values

    def render(self) -> str:
        """Return the figure in Markdown, or nothing."""
        return f'\n![{self.text}]({self.path})\n' if all(value.is_complete for value in self.values) else '\n'


def render_row(values: list[Cell]) -> list[str]:
    """Return the cells of a row. The best one is marked if all of them have been measured."""
    pick = getattr(values[0], 'best', None)
    best = pick and all(value.is_complete for value in values) and pick(values, key=lambda one: mean(one.read()))
    return [value.render(bold=value is best) for value in values]


def command_of(values: Iterable[Cell]) -> str:
    """Return the command that measures values."""
    return f'python tools/measure_prior.py --task {" ".join(dict.fromkeys(value.task for value in values))}'
