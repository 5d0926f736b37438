"""Measure all results on toy scenes that the documentation shows, such as how much pre-training helps.

    python tools/measure_prior.py                       # all tasks: many hours on two cores
    python tools/measure_prior.py --task depth --seeds 0 1 2
    python tools/measure_prior.py --workers 2 --time-limit 120
    python tools/measure_prior.py --list
    python tools/measure_prior.py --write

The tool renders the toy scenes, trains and tests each model, and writes one file per model and seed to
resources/measured. It skips models whose file is up to date and resumes interrupted runs, so you can stop it at
any time. A file is out of date if the config, tiny-sd or the renderer of the scenes has changed. The tool does not
notice changes of other code: to measure a model again, remove its file and its folder in work_dirs/prior.

--write copies the results from these files into the README files and guides, and draws their figures.
"""

import asyncio
import sys
import warnings
from argparse import ArgumentParser
from subprocess import CalledProcessError

from toy_experiments.commands import run
from toy_experiments.figures import write_figures
from toy_experiments.layouts import write_pages
from toy_experiments.results import DONE, Job, describe, expected_seconds, select_jobs, state
from toy_experiments.tasks import TASKS
from toy_experiments.training import OUTPUT, measure_all

from mmdiffperc.files import read_json
from mmdiffperc.toy_scenes.writers import READ_BY_CONFIGS
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, tool_parser

SEEDS = {seed for task in TASKS.values() for run in task.runs.values() for seed in run.seeds}

# In which models with captions and models for pose are tested.
OTHER_DOMAINS = tuple(f'{kind}_{domain}' for kind in ('ade', 'captions', 'coco') for domain in 'bcd')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--task', nargs='+', choices=TASKS, default=list(TASKS), metavar='NAME',
        help=f'task (some of: {", ".join(TASKS)}; default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--seeds', type=bounded(int, min(SEEDS), max(SEEDS)), nargs='+', metavar='N',
        help='random seeds (default: all seeds of each model)',
    )  # fmt: skip
    add_shared(parser, '--workers', 'models that are trained at the same time; they share the processor cores')
    add_shared(parser, '--time-limit', 'after which all training runs stop; default: none', metavar='MINUTES')
    add_shared(parser, '--cfg-options', 'for a trial, which writes everything to work_dirs/trial')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--list', action='store_true', help='list the results, and estimate the remaining time')
    what.add_argument('--write', action='store_true', help='write the results (to the README files and guides)')
    return parser


def list_jobs(jobs: list[Job], workers: int):
    """Print the state of each job and its results, and estimate how long the others take."""
    records = {job.name: read_json(job.file) for job in jobs if job.file.exists()}
    states = {job.name: state(job) for job in jobs}
    for job in jobs:
        results = describe(job, records[job.name]) if job.name in records else ''
        print(f'{states[job.name]:8}{job.name:40}{results}'.rstrip())
    left = [expected_seconds(job, records) for job in jobs if states[job.name] != DONE]
    counts = ', '.join(f'{list(states.values()).count(name)} {name}' for name in ('done', 'stale', 'missing'))
    duration = (
        'unknown, because nothing has been measured' if None in left else f'{sum(left) / workers / 3600:.1f} hours'
    )
    print(f'\n{counts}. Remaining time with --workers {workers}: {duration}')


def measure(jobs: list[Job], workers: int, minutes: float | None):
    """Measure the jobs that are not done.

    Raises:
        ValueError: Some jobs failed.
    """
    if not (waiting := [job for job in jobs if state(job) != DONE]):
        print('All results are up to date.')
        return
    make_scenes(workers)
    if failed := asyncio.run(measure_all(waiting, workers, minutes and 60 * minutes)):
        raise ValueError(f'failed: {", ".join(f"{job.name} (see {job.folder / OUTPUT})" for job in failed)}')


def make_scenes(workers: int):
    """Render the toy scenes that the experiments need."""
    tool = ('python', 'tools/make_toy_scenes.py', '--workers', str(workers))
    run(*tool, '--formats', *READ_BY_CONFIGS, *(f'dmp_{domain}' for domain in 'cde'), 'refcoco_kinds', *OTHER_DOMAINS)
    run(*tool, '--out', 'data/toy_192', '--formats', 'ade', '--size', '192')


@one_line_errors(ValueError, OSError, CalledProcessError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    warnings.simplefilter('ignore')  # mmengine warns whenever it reads a config of a host
    jobs = list(select_jobs(args.task, args.seeds, args.cfg_options or {}))
    if args.list:
        list_jobs(jobs, args.workers)
    elif args.write:
        for name, obstacle in (write_pages() | write_figures()).items():
            print(f'{name} is unchanged: {obstacle}')
    else:
        measure(jobs, args.workers, args.time_limit)


if __name__ == '__main__':
    sys.exit(main())
