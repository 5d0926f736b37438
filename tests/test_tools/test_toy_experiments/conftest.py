"""Results by hand."""

import json

import pytest
from toy_experiments.results import jobs_of

from mmdiffperc.files import write_whole


@pytest.fixture
def store(clone):
    """Write the results of a run and a seed: the same metrics for each test; return the file."""

    def write(task, run, seed, *, tiny_sd='x', images=None, losses=None, tests=None, **metrics):
        (job,) = [job for job in jobs_of(task, run) if job.seed == seed]
        of_tests = dict.fromkeys(job.tests, metrics) | (tests or {})
        record = dict(tiny_sd=tiny_sd, toy_scenes=1, metrics=of_tests, images=images or {}, losses=losses or {})
        write_whole(job.file, json.dumps(record))
        return job.file

    return write


@pytest.fixture
def store_depth(store):
    """Write results of the task depth: an RMSE of 0.5, 0.6 and 0.7 m, and 1 m from a random U-Net."""

    def write(tiny_sd='x'):
        for seed in (0, 1, 2):
            store('depth', 'pre-trained', seed, tiny_sd=tiny_sd, rmse=0.5 + seed / 10, abs_rel=0.25, d1=0.75)
            store('depth', 'random', seed, tiny_sd=tiny_sd, rmse=1.0004, abs_rel=0.5, d1=0.25)
        store('depth', 'mean-depth', None, tiny_sd=tiny_sd, rmse=2, abs_rel=0.75, d1=0)

    return write
