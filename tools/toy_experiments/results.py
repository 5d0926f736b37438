"""The results of the toy experiments: one file per run and seed, and what makes a file out of date."""

import functools
import hashlib
import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from mmengine.config import Config

from mmdiffperc.files import read_json
from mmdiffperc.toy_scenes.writers.dataset import GENERATOR

from .tasks import TASKS, VALIDATION, Run, Task

ROOT = Path(__file__).parents[2]
TINY_SD = ROOT / 'mmdiffperc' / 'assets' / 'tiny-sd'
CODE = [f'{folder}/*.py' for folder in ('mmdiffperc', 'configs', 'projects', 'tools')]
ILLUSTRATIONS = ('.md', '.png')  # files of tiny-sd that no model reads
MEASURED = Path('resources/measured')
WORK_DIR = Path('work_dirs/prior')
TRIALS = Path('work_dirs/trial')  # results and training runs with other settings than those of the experiments
STATES = DONE, STALE, MISSING = 'done', 'stale', 'missing'


@dataclass(frozen=True)
class Job:
    """A run of a task with a seed: what is trained, tested and stored as a whole.

    Args:
        task_name (str): Key of ``TASKS``.
        run_name (str): Name of a run of the task.
        seed (int | None): Random seed, or None for a run without training.
        trial (dict): Settings that replace those of the experiment. Results and training are then stored elsewhere.
    """

    task_name: str
    run_name: str
    seed: int | None
    trial: dict = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The task."""
        return TASKS[self.task_name]

    @property
    def run(self) -> Run:
        """The run."""
        return self.task.runs[self.run_name]

    @property
    def name(self) -> str:
        """The name, such as ``'depth/random-seed0'``, without the suffix of a file."""
        return f'{self.task_name}/{self.run_name}' + ('' if self.seed is None else f'-seed{self.seed}')

    @property
    def file(self) -> Path:
        """The file of the results."""
        return (TRIALS if self.trial else MEASURED) / f'{self.name}.json'

    @property
    def folder(self) -> Path:
        """The working directory of the training."""
        return (TRIALS if self.trial else WORK_DIR) / self.name

    @property
    def options(self) -> dict:
        """All settings that replace those of the config."""
        return ({} if self.seed is None else {'randomness.seed': self.seed}) | self.run.options | self.trial

    @property
    def tests(self) -> tuple[str, ...]:
        """The names of all tests, the validation first."""
        return VALIDATION, *self.run.tests


def jobs_of(task: str, run: str, seeds: list[int] | None = None, trial: dict | None = None) -> list[Job]:
    """Return the jobs of a run. ``seeds`` selects some of its seeds."""
    settings = TASKS[task].runs[run]
    wanted = (None,) if settings.tool else [seed for seed in settings.seeds if not seeds or seed in seeds]
    return [Job(task, run, seed, trial or {}) for seed in wanted]


def select_jobs(tasks: list[str], seeds: list[int] | None, trial: dict) -> Iterator[Job]:
    """Yield the jobs of some tasks, task by task; within a task, seed by seed, so that comparisons are early."""
    for task in tasks:
        jobs = [job for run in TASKS[task].runs for job in jobs_of(task, run, seeds, trial)]
        yield from sorted(jobs, key=lambda job: job.seed or 0)


def identity(job: Job) -> dict:
    """Return what the results of a job depend on: the resolved config or tool, tiny-sd, and the renderer of the scenes.

    The code is not part of it. If you change how a model computes, remove the files of its results and training runs.
    """
    config = deepcopy(read_config(job.run.config))
    config.merge_from_dict(job.options)
    settings = config.to_dict() | (dict(tool=job.run.tool) if job.run.tool else {})
    return dict(config=digest(json.dumps(settings).encode()), tiny_sd=tiny_sd_digest(), toy_scenes=GENERATOR)


@functools.cache
def read_config(path: str) -> Config:
    """Read a config with all its bases, without importing the modules that it names."""
    return Config.fromfile(ROOT / path, import_custom_modules=False)


def tiny_sd_digest() -> str:
    """Return a hash of tiny-sd: weights, configs and tokenizer."""
    files = sorted(path for path in TINY_SD.rglob('*') if path.is_file() and path.suffix not in ILLUSTRATIONS)
    return digest(b''.join(path.relative_to(TINY_SD).as_posix().encode() + path.read_bytes() for path in files))


def digest(content: bytes) -> str:
    """Return a short hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def code_version() -> dict:
    """Return the commit, and whether the code or the configs differ from it; None outside of a git repository."""
    try:
        return dict(commit=git('rev-parse', 'HEAD'), modified=bool(git('status', '--porcelain', '--', *CODE)))
    except (OSError, subprocess.CalledProcessError):  # no git, or an unpacked archive
        return dict(commit=None, modified=None)


def git(*arguments: str) -> str:
    """Return the output of git in the repository."""
    return subprocess.run(('git', *arguments), cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def state(job: Job) -> str:
    """Return whether the results of a job are done, stale or missing."""
    if not job.file.exists():
        return MISSING
    record = read_json(job.file)
    is_current = record['metrics'].keys() >= set(job.tests) and identity(job).items() <= record.items()
    return DONE if is_current else STALE


def expected_seconds(job: Job, records: dict[str, dict]) -> float | None:
    """Estimate the duration of a job from the recorded results of the same run, else the same task, else all."""
    for start in (f'{job.task_name}/{job.run_name}-seed', f'{job.task_name}/', ''):
        if durations := [record['seconds'] for name, record in records.items() if name.startswith(start)]:
            return mean(durations)
    return None


def describe(job: Job, record: dict) -> str:
    """Return the metrics of the validation that the task shows, and the duration."""
    metrics = record['metrics'][VALIDATION]
    shown = [f'{name} {metrics[name]:{form}}' for name, form in job.task.metrics.items() if name in metrics]
    return f'{", ".join(shown)} ({record["seconds"]} s)'
