"""The tables and numbers of toy results in the texts. They are written between comments from the files of the results.

A text holds a table or a number between ``<!-- measured: NAME -->`` and ``<!-- /measured -->``. To add one, put these
comments where it belongs and its layout under this name into ``LAYOUTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean

from marked_blocks import blocks, pages, table, with_blocks

from mmdiffperc.files import read_json, write_whole

from .results import Job, jobs_of
from .tasks import DMP_MODELS, PROBED_BLOCKS, PROBED_KINDS, PROBED_TIMESTEPS, TASKS, VALIDATION, probed

KIND = 'measured'


@dataclass(frozen=True)
class Value:
    """A metric of a run: the mean over its seeds, or the value of one seed.

    Args:
        task (str): Key of ``TASKS``.
        run (str): Name of a run of the task.
        metric (str): Metric of the task, which also sets the number format.
        test (str): Name of the test. Defaults to the validation at the end of the training.
        seed (int, optional): Default: the mean over all seeds.
        spread (bool): Add the lowest and the highest value in brackets. Defaults to False.
        best (Callable, optional): ``min`` or ``max``: a table shows the best value of the row in bold.
    """

    task: str
    run: str
    metric: str
    test: str = VALIDATION
    seed: int | None = None
    spread: bool = False
    best: Callable | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs whose results are needed. A run without seeds has no value for a seed, so its cell is empty."""
        return [job for job in jobs_of(self.task, self.run) if self.seed in (None, job.seed)]

    @property
    def values(self) -> list['Value']:
        """The value itself, as a table has several."""
        return [self]

    def is_measured(self, job: Job) -> bool:
        """Return whether the test of a job has been stored."""
        return job.file.exists() and self.test in read_json(job.file)['metrics']

    def read(self) -> list[float]:
        """Return the value of each job that has this metric. RetinaNet, for example, has none for masks.

        Raises:
            FileNotFoundError: Results are missing.
        """
        metrics = [read_json(job.file)['metrics'][self.test] for job in self.jobs]
        return [found[self.metric] for found in metrics if self.metric in found]

    def render(self, bold: bool = False) -> str:
        """Return the text of the value."""
        if not (values := self.read()):
            return ''
        form = TASKS[self.task].metrics[self.metric]
        limits = f' ({min(values):{form}} to {max(values):{form}})' if self.spread and len(values) > 1 else ''
        mark = '**' if bold else ''
        return f'{mark}{mean(values):{form}}{mark}{limits}'


@dataclass(frozen=True)
class Table:
    """A table whose cells are values.

    Args:
        headings (tuple[str, ...]): Headings of the columns with text.
        rows (dict[tuple[str, ...], dict]): By the text of each row, arguments of its values.
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
    def grid(self) -> list[list[Value]]:
        """The values of each row."""
        return [
            [self.value(**self.common, **row, **column) for column in self.columns.values()]
            for row in self.rows.values()
        ]

    @property
    def values(self) -> list[Value]:
        """All values."""
        return [value for row in self.grid for value in row]

    def render(self) -> str:
        """Return the table in Markdown."""
        rows = [(*texts, *render_row(values)) for texts, values in zip(self.rows, self.grid, strict=True)]
        return table((*self.headings, *self.columns), rows)


def render_row(values: list[Value]) -> list[str]:
    """Return the cells of a row."""
    best = values[0].best and values[0].best(values, key=lambda value: mean(value.read()))
    return [value.render(bold=value is best) for value in values]


def target_rows(measures: dict[tuple[str, ...], dict], domains: str) -> dict[tuple[str, ...], dict]:
    """Return the rows of a table of generative models: each measure in each domain."""
    tests = dict(a=VALIDATION, b='domain-b', c='domain-c', d='domain-d')
    return {(*texts, domain): dict(row, test=tests[domain]) for texts, row in measures.items() for domain in domains}


SEEDS = {f'seed {seed}': dict(seed=seed) for seed in (0, 1, 2)}
START = ('U-Net at the start',)
MEANS = ('U-Net at the start (means of three seeds)',)
PRE_TRAINED, RANDOM = 'pre-trained (tiny-sd)', 'random, everything else pre-trained'
STARTS = {(PRE_TRAINED,): dict(run='pre-trained'), (RANDOM,): dict(run='random')}
DMP_MEASURES = {
    ('normals', 'mean angle, degrees'): dict(task='dmp-normals', metric='mean', best=min),
    ('normals', 'within 11.25 degrees'): dict(task='dmp-normals', metric='11.25', best=max),
    ('depth', 'RMSE, m'): dict(task='dmp-depth', metric='rmse', best=min),
    ('depth', 'REL'): dict(task='dmp-depth', metric='abs_rel', best=min),
    ('albedo', 'MSE'): dict(task='dmp-albedo', metric='mse', best=min),
    ('shading', 'MSE'): dict(task='dmp-shading', metric='mse', best=min),
    ('segmentation', 'mIoU'): dict(task='dmp-segmentation', metric='mIoU', best=max),
}
NO_MODEL = {('no model: the mean depth of the training images',): dict(task='depth', run='mean-depth')}

LAYOUTS = {
    'segmentation': Table(
        ('initial U-Net',),
        {('pre-trained',): dict(run='pre-trained'), ('random; all other parts pre-trained',): dict(run='random')},
        SEEDS | {'mean': {}},
        dict(task='segmentation', metric='mIoU'),
    ),
    'segmentation-pre-trained': Value('segmentation', 'pre-trained', 'mIoU'),
    'segmentation-random': Value('segmentation', 'random', 'mIoU'),
    'demo-multi-scale': Value('segmentation', 'pre-trained', 'mIoU', 'multi-scale', seed=0),
    'demo-checkpoint': Value('segmentation', 'pre-trained-3600', 'mIoU'),
    'depth': Table(
        MEANS,
        {text: dict(task='depth', **row) for text, row in STARTS.items()} | NO_MODEL,
        {'RMSE (m)': dict(metric='rmse'), 'REL': dict(metric='abs_rel'), 'd1': dict(metric='d1')},
    ),
    'depth-mirrored-rmse': Value('depth', 'pre-trained', 'rmse', 'mirrored'),
    'depth-mirrored-rel': Value('depth', 'pre-trained', 'abs_rel', 'mirrored'),
    'referring': Table(
        (*MEANS, 'sentence'),
        {
            (PRE_TRAINED, 'of the object'): dict(run='pre-trained'),
            (PRE_TRAINED, 'of another image'): dict(run='pre-trained', test='shuffled'),
            (RANDOM, 'of the object'): dict(run='random'),
            (RANDOM, 'of another image'): dict(run='random', test='shuffled'),
        },
        {name: dict(metric=name) for name in ('oIoU', 'mIoU', 'precision@0.5')},
        dict(task='referring'),
    ),
    'metaprompts': Table(
        ('passes', 'prompts', *START),
        {
            ('1', 'learned', PRE_TRAINED): dict(run='one-pass'),
            ('2', 'learned', 'pre-trained'): dict(run='two-passes'),
            ('3', 'learned', 'pre-trained'): dict(run='three-passes'),
            ('3', 'class names', 'pre-trained'): dict(run='class-names'),
            ('3', 'learned', RANDOM): dict(run='random'),
        },
        SEEDS | {'mean': {}},
        dict(task='metaprompts', metric='mIoU'),
    ),
    'metaprompts-depth': Table(
        START,
        {text: dict(task='metaprompts-depth', **row) for text, row in STARTS.items()} | NO_MODEL,
        {
            'RMSE (m): seed 0': dict(metric='rmse', seed=0),
            'seed 1': dict(metric='rmse', seed=1),
            'seed 2': dict(metric='rmse', seed=2),
            'mean': dict(metric='rmse'),
            'mean REL': dict(metric='abs_rel'),
            'mean d1': dict(metric='d1'),
        },
    ),
    'pose': Table(
        START,
        STARTS,
        {
            'AP: seed 0': dict(metric='coco/AP', seed=0),
            'seed 1': dict(metric='coco/AP', seed=1),
            'seed 2': dict(metric='coco/AP', seed=2),
            'mean': dict(metric='coco/AP'),
            'AP at OKS 0.5: mean': dict(metric='coco/AP .5'),
        },
        dict(task='pose'),
    ),
    'pose-longer-ap': Value('pose', 'pre-trained-7200', 'coco/AP'),
    'pose-longer-ap50': Value('pose', 'pre-trained-7200', 'coco/AP .5'),
    'detection': Table(
        ('detector', *MEANS),
        {
            ('RetinaNet', PRE_TRAINED): dict(run='pre-trained'),
            ('RetinaNet', RANDOM): dict(run='random'),
            ('Mask R-CNN', PRE_TRAINED): dict(run='mask-rcnn'),
        },
        {
            'box mAP': dict(metric='coco/bbox_mAP'),
            'mAP at 0.5': dict(metric='coco/bbox_mAP_50'),
            'mask mAP': dict(metric='coco/segm_mAP'),
        },
        dict(task='detection'),
    ),
    'dmp': Table(
        ('target', 'measure', 'domain'),
        target_rows(DMP_MEASURES, 'ab'),
        {title: dict(run=run, spread=True) for run, title in DMP_MODELS.items()},
    ),
    'taps': Table(
        ('features',),
        {(f'`{block}`',): dict(block=block) for block in PROBED_BLOCKS},
        {f'timestep {timestep}': dict(timestep=timestep) for timestep in PROBED_TIMESTEPS},
        value=lambda block, timestep: Value('taps', 'probe', probed(block, timestep)),
    ),
    'tap-kinds': Table(
        ('features in `up_blocks.3` at timestep 100',),
        {(f'`{name.removeprefix("up_blocks.3.").format("N")}`',): dict(name=name) for name in PROBED_KINDS},
        {'N = 0': dict(layer=0), 'N = 1': dict(layer=1)},
        value=lambda name, layer: Value('tap-kinds', 'probe', probed(name.format(layer), '100')),
    ),
}


def obstacle(name: str) -> str:
    """Return why a block cannot be written from the results, or an empty string."""
    needed = [(value, job) for value in LAYOUTS[name].values for job in value.jobs]
    if missing := {job.name for value, job in needed if not value.is_measured(job)}:
        return f'{len(missing)} of {len({job.name for _, job in needed})} results are missing'
    records = [read_json(job.file) for _, job in needed]
    if len({(record['tiny_sd'], record['toy_scenes']) for record in records}) > 1:
        return 'the results were measured with different versions of tiny-sd or of the toy scenes'
    return ''


def with_results(text: str) -> str:
    """Return the text of a page in which all blocks are written that can be written."""
    return with_blocks(KIND, text, lambda name, content: content if obstacle(name) else LAYOUTS[name].render())


def write_pages() -> dict[str, str]:
    """Write the results into all pages, and return the obstacle of each block that was left unchanged."""
    left = {}
    for page in pages():
        text = page.read_text(encoding='utf-8')
        left |= {name: obstacle(name) for name, _ in blocks(KIND, text) if obstacle(name)}
        if (new := with_results(text)) != text:
            write_whole(page, new)
    return left
