"""Train and test the toy experiments. What is complete is kept, and what was interrupted is resumed."""

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from mmdiffperc.files import read_json, write_whole

from .commands import call, last_validation, latest_results, loss_curve
from .results import Job, code_version, describe, identity
from .tasks import VALIDATION, FurtherTest

NOTES = 'measuring.json'
OUTPUT = 'output.log'
TOOL_RESULTS = 'results.json'
IMAGES = 'images.json'  # the measures of each image, in the folder of a test
NOT_METRICS = ('step', 'time', 'data_time')  # mmengine logs them together with the metrics


async def measure_all(jobs: Iterable[Job], workers: int, seconds: float | None) -> list[Job]:
    """Measure jobs side by side.

    Args:
        jobs (Iterable[Job]): The jobs, in their order.
        workers (int): Number of jobs at a time. The processor cores are shared between them.
        seconds (float | None): Time limit, after which all jobs are stopped so that they can be resumed.

    Returns:
        list[Job]: The jobs that failed.
    """
    waiting, failed = iter(jobs), []

    async def work():
        for job in waiting:  # shared by all workers
            try:
                record = await measure(job, max(1, os.cpu_count() // workers))
                print(f'\n{job.name}: {describe(job, record)}', flush=True)
            except (subprocess.CalledProcessError, ValueError, OSError) as error:  # the next job may work
                print(f'\n{job.name}: {error}', flush=True)
                failed.append(job)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except TimeoutError:
        print('\nThe time limit is reached. To resume, run the same command again.')
    return failed


async def measure(job: Job, threads: int) -> dict:
    """Do what is missing of a job, write its file, and return the content.

    Raises:
        subprocess.CalledProcessError: A command fails.
        ValueError: The config or tiny-sd has changed in the meantime.
    """
    notes = begin(job)
    with timing(job, notes):
        metrics = await run_tests(job, threads)
    if not identity(job).items() <= notes.items():
        raise ValueError('the config or tiny-sd has changed during the training; run the same command again')
    commands = {test: shlex.join(map(str, command(job, test))) for test in job.tests}
    record = notes | dict(threads=threads, commands=commands, metrics=metrics) | details(job)
    write_whole(job.file, json.dumps(record, indent=1) + '\n')
    remove_outdated_checkpoints(job.folder)
    return record


def begin(job: Job) -> dict:
    """Return the notes of an interrupted job. If what it depends on has changed, start again from the beginning."""
    file, current = job.folder / NOTES, identity(job)
    notes = read_json(file) if file.exists() else {}
    if not current.items() <= notes.items():
        shutil.rmtree(job.folder, ignore_errors=True)
        notes = current | code_version() | environment() | dict(seconds=0)
        write_whole(file, json.dumps(notes))
    return notes


def environment() -> dict:
    """Return what else may change the results or their duration."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'
    return dict(versions={name: version(name) for name in ('torch', 'mmengine')}, device=device, cores=os.cpu_count())


@contextmanager
def timing(job: Job, notes: dict) -> Iterator[None]:
    """Add the elapsed time to the notes, also if the job is interrupted."""
    start = time.monotonic()
    try:
        yield
    finally:
        notes['seconds'] = round(notes['seconds'] + time.monotonic() - start)
        write_whole(job.folder / NOTES, json.dumps(notes))


async def run_tests(job: Job, threads: int) -> dict[str, dict]:
    """Return the metrics of all tests of a job, by the name of the test. What is already there is not repeated."""
    metrics = {}
    settings = dict(log=job.folder / OUTPUT, threads=threads)
    for test in job.tests:
        if job.run.tool or not existing_metrics(job, test):  # a tool adds what its file lacks
            await call(*command(job, test), **settings)
        # A training that was stopped during its validation does not repeat it, because no iteration is left.
        if test == VALIDATION and not existing_metrics(job, test):
            await call(*validation_command(job), **settings)
        metrics[test] = {name: value for name, value in existing_metrics(job, test).items() if name not in NOT_METRICS}
    return metrics


def existing_metrics(job: Job, test: str) -> dict | None:
    """Return the metrics that a test has written, or None if it has not finished."""
    if job.run.tool:
        return flat(read_json(job.folder / TOOL_RESULTS)) if (job.folder / TOOL_RESULTS).exists() else None
    if test == VALIDATION and (metrics := last_validation(job.folder)):
        return metrics
    return latest_results(job.folder / test) if list((job.folder / test).glob('*/*.json')) else None


def details(job: Job) -> dict:
    """Return what a record holds besides the metrics: the loss during the training, and measures of single images."""
    images = {name: measures_of_images(job, name) for name, test in job.run.tests.items() if test.per_image}
    found = dict(losses=loss_curve(job.folder), images=images)
    return {name: value for name, value in found.items() if value}


def measures_of_images(job: Job, test: str) -> dict[str, list[float | None]]:
    """Return the measures of each image in a test, in the order of the data set; None where one is undefined."""
    rows = json.loads((job.folder / test / IMAGES).read_text())
    return {
        name: [row[name] if row[name] is None else round(row[name], 4) for row in rows]
        for name in job.run.tests[test].per_image
    }


def flat(results: dict, prefix: str = '') -> dict:
    """Return nested results as one dict, with names such as ``'results/mid_block at 1/mIoU'``."""
    flattened = {}
    for name, value in results.items():
        flattened |= flat(value, f'{prefix}{name}/') if isinstance(value, dict) else {prefix + name: value}
    return flattened


def command(job: Job, test: str) -> tuple:
    """Return the command that writes the metrics of a test. The validation is part of the training."""
    config = job.run.config
    if job.run.tool:
        return 'python', *job.run.tool, '--out-file', job.folder / TOOL_RESULTS
    if test == VALIDATION:
        folder = ('--work-dir', job.folder)
        return 'mim', 'train', job.task.host, config, *folder, '--resume', *options_of(job.options)
    return test_command(job, test, job.run.tests[test])


def validation_command(job: Job) -> tuple:
    """Return the command that repeats the validation at the end of the training."""
    return test_command(job, VALIDATION, FurtherTest(job.task.validation_options))


def test_command(job: Job, name: str, test: FurtherTest) -> tuple:
    """Return the command that tests the trained model."""
    files = ('--checkpoint', last_checkpoint(job.folder), '--work-dir', job.folder / name)
    tta = ('--tta',) if test.tta else ()
    images = {'test_evaluator.per_image_file': job.folder / name / IMAGES} if test.per_image else {}
    options = options_of(job.options | test.options | images)
    return 'mim', 'test', job.task.test_host, job.run.config, *files, *tta, *options


def options_of(settings: dict) -> tuple[str, ...]:
    """Return settings as arguments of a command."""
    return '--cfg-options', *(f'{key}={value}' for key, value in settings.items())


def last_checkpoint(folder: Path) -> Path:
    """Return the last checkpoint of a training run."""
    return folder / Path((folder / 'last_checkpoint').read_text()).name


def remove_outdated_checkpoints(folder: Path):
    """Remove all checkpoints of a finished training but the last."""
    for file in folder.glob('*.pth'):
        if file != last_checkpoint(folder):
            file.unlink()
