"""What makes results out of date, and how long what is left may take."""

import json
import shutil

import pytest
from pages import ROOT
from toy_experiments import results
from toy_experiments.results import Job, code_version, describe, expected_seconds, identity, jobs_of, select_jobs, state

from mmdiffperc.files import write_whole

JOB = Job('depth', 'pre-trained', 0)


def store(job, **changes):
    tests = dict.fromkeys(job.tests, dict(rmse=0.5, abs_rel=0.125, d1=1, l1=7))
    write_whole(job.file, json.dumps(identity(job) | dict(metrics=tests, seconds=60) | changes))


def test_jobs_of_some_seeds():
    names = [job.name for job in select_jobs(['depth'], [0, 2], {})]
    assert names == [
        f'depth/{name}'
        for name in ('pre-trained-seed0', 'random-seed0', 'mean-depth', 'pre-trained-seed2', 'random-seed2')
    ]
    assert [job.seed for job in jobs_of('segmentation', 'pre-trained-3600')] == [0]


def test_a_trial_is_stored_elsewhere():
    trial = Job('depth', 'random', 1, {'a.b': 2})
    assert trial.options == {'randomness.seed': 1, 'a.b': 2}
    assert {trial.file.parts[:2], trial.folder.parts[:2]} == {('work_dirs', 'trial')}
    assert 'trial' not in str(JOB.file) + str(JOB.folder)


@pytest.mark.parametrize('name', ['config', 'tiny_sd', 'toy_scenes'])
def test_results_are_stale_if_something_has_changed(clone, name):
    assert state(JOB) == 'missing'
    store(JOB)
    assert state(JOB) == 'done'
    store(JOB, **{name: 'another'})
    assert state(JOB) == 'stale'


def test_results_without_a_new_test_are_stale(clone):
    store(JOB, metrics=dict(validation={}))
    assert state(JOB) == 'stale'


def test_hash_of_the_config():
    longer = Job('segmentation', 'pre-trained-3600', 0)
    assert identity(longer) == identity(Job('segmentation', 'pre-trained', 0, longer.run.options))  # the same config
    first = identity(JOB)
    others = [
        Job('depth', 'mean-depth', None, {'randomness.seed': 0}),  # the same config, but a tool
        Job('depth', 'pre-trained', 1),
        Job('depth', 'random', 0),
        Job('depth', 'pre-trained', 0, {'train_cfg.max_iters': 5}),
    ]
    assert len({first['config'], *(identity(job)['config'] for job in others)}) == 5


def test_hash_of_tiny_sd(tmp_path, monkeypatch):
    """The card and the sample images do not matter."""
    before = results.tiny_sd_digest()
    copy = shutil.copytree(results.TINY_SD, tmp_path / 'tiny-sd')
    monkeypatch.setattr(results, 'TINY_SD', copy)
    assert results.tiny_sd_digest() == before
    (copy / 'README.md').write_text('another')
    (copy / 'samples.png').unlink()
    assert results.tiny_sd_digest() == before
    config = copy / 'unet' / 'config.json'
    config.write_text(config.read_text() + '\n')
    assert results.tiny_sd_digest() != before


def test_code_version(monkeypatch, tmp_path):
    if (ROOT / '.git').exists():
        assert len(code_version()['commit']) == 40 and code_version()['modified'] in (True, False)
    monkeypatch.setattr(results, 'ROOT', tmp_path)  # as in an archive
    assert code_version() == dict(commit=None, modified=None)


def test_duration_is_that_of_the_most_similar_results():
    records = {
        name: dict(seconds=seconds)
        for name, seconds in {
            'depth/pre-trained-seed1': 10,
            'depth/pre-trained-seed2': 20,
            'depth/random-seed1': 60,
            'pose/a': 130,
        }.items()
    }
    assert expected_seconds(JOB, records) == 15
    assert expected_seconds(Job('depth', 'mean-depth', None), records) == 30
    assert expected_seconds(Job('detection', 'random', 0), records) == 55
    assert expected_seconds(JOB, {}) is None


def test_metrics_that_a_task_shows():
    record = dict(metrics=dict(validation=dict(rmse=0.51251, d1=1, l1=7)), seconds=61)
    assert describe(JOB, record) == 'rmse 0.513, d1 1.000 (61 s)'
