"""What is complete is kept, and what was interrupted is resumed."""

import asyncio
import json
from pathlib import Path

import host_scripts
import numpy as np
import pytest
from pages import ROOT
from toy_experiments import commands, results, training
from toy_experiments.results import Job
from toy_experiments.training import begin, command, measure, measure_all, validation_command

from mmdiffperc.files import write_whole
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

JOB = Job('segmentation', 'pre-trained', 1)
OTHER = Job('segmentation', 'random', 1)
OPTIONS = ['--cfg-options', 'randomness.seed=1']


def run_here(program, action, host, *arguments):
    """Do what mim does, in this process. mim passes the checkpoint on without its option."""
    host_scripts.run(host, f'{action}.py', *(word for word in arguments if word != '--checkpoint'))


def test_a_real_training(clone):
    """The validation is of domain a, further tests are of all domains; a test can repeat the validation."""
    (clone / 'projects').symlink_to(ROOT / 'projects')
    write_dataset('data/toy', DatasetSpec(4, 2, (48, 64), seed=1, formats=('dmp', *(f'dmp_{name}' for name in 'bcde'))))
    trial = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'default_hooks.logger.interval': 1}
    job = Job('normals-controls', 'regression-adapter-random', 3, trial)
    begin(job)
    for test in job.tests:
        run_here(*command(job, test))
    run_here(*validation_command(job))
    record = asyncio.run(measure(job, 1))  # everything is there
    assert (
        json.loads(Path('work_dirs/trial/normals-controls/regression-adapter-random-seed3.json').read_text()) == record
    )
    metrics, images = record['metrics'], record['images']
    domains = {f'domain-{name}' for name in 'abcde'}
    assert metrics.keys() == {'validation', *domains} and images.keys() == domains
    assert {'mean', '11.25'} < metrics['validation'].keys() and not {'step', 'time', 'loss'} & {*metrics['validation']}
    assert len({metrics[name]['mean'] for name in domains}) == 5
    for name in domains:
        assert len(images[name]['mean']) == 2 and set(images[name]) == {'mean'}
        assert np.mean(images[name]['mean']) == pytest.approx(metrics[name]['mean'], rel=1e-4)
    assert metrics['domain-a']['mean'] == pytest.approx(metrics['validation']['mean'], rel=1e-4)
    repeated = training.latest_results(job.folder / 'validation')
    assert repeated['mean'] == pytest.approx(metrics['validation']['mean'], rel=1e-4)
    assert record['losses'].keys() == {'1', '2'} and min(record['losses'].values()) > 0
    assert [path.name for path in job.folder.glob('*.pth')] == ['iter_2.pth']
    assert '--resume' in record['commands']['validation'] and 'randomness.seed=3' in record['commands']['domain-b']


def test_the_loss_of_a_resumed_training(tmp_path):
    """What is trained again counts once. The curve is thinned."""
    for folder, steps in (('a', range(10, 510, 10)), ('b', range(400, 1010, 10))):
        file = tmp_path / folder / 'vis_data' / 'scalars.json'
        entries = [dict(step=step, loss=step / 1000 + (folder == 'a')) for step in steps]
        write_whole(file, '\n'.join(map(json.dumps, [*entries, dict(step=1000, mIoU=5)])))
    curve = commands.loss_curve(tmp_path, points=24)
    assert [*curve][:3] == ['10', '60', '110'] and len(curve) == 20
    assert curve['10'] == 1.01 and curve['410'] == 0.41
    assert commands.loss_curve(tmp_path / 'none') == {}


def test_a_job_is_trained_and_tested(clone, programs):
    record = asyncio.run(measure(JOB, 5))
    train, test = programs()
    config, where = JOB.run.config, 'work_dirs/prior/segmentation/pre-trained-seed1'
    assert train == ['train', 'mmseg', config, '--work-dir', where, '--resume', *OPTIONS]
    files = ['--checkpoint', f'{where}/iter_8.pth', '--work-dir', f'{where}/multi-scale']
    assert test == ['test', 'mmseg', config, *files, '--tta', *OPTIONS]
    assert {name: metrics['mIoU'] for name, metrics in record['metrics'].items()} == {'validation': 1, 'multi-scale': 2}
    assert record['commands']['multi-scale'] == ' '.join(['mim', *test])
    assert json.loads(JOB.file.read_text()) == record and JOB.file == Path(
        'resources/measured/segmentation/pre-trained-seed1.json'
    )
    assert [path.name for path in Path(where).glob('*.pth')] == ['iter_8.pth']
    assert record['threads'] == 5 and record['cores'] > 0 and 'torch' in record['versions'] and record['seconds'] >= 0
    assert str(clone) not in JOB.file.read_text()


def test_what_is_there_is_not_repeated(clone, programs):
    first = asyncio.run(measure(JOB, 1))
    JOB.file.unlink()
    assert asyncio.run(measure(JOB, 1)) == first and len(programs()) == 2


def test_a_training_that_was_stopped_in_its_validation_is_tested(clone, programs):
    """Nothing is left to train, so that --resume neither trains nor validates."""
    Path('stops').touch()
    record = asyncio.run(measure(OTHER, 1))
    assert [arguments[0] for arguments in programs()] == ['train', 'test']
    assert programs()[1][6].endswith('random-seed1/validation') and record['metrics']['validation']['mIoU'] == 2


def test_a_training_that_fails_is_resumed(clone, programs, capsys):
    Path('fails').touch()
    assert asyncio.run(measure_all([OTHER, JOB], 1, None)) == [OTHER, JOB]
    assert 'status 3' in capsys.readouterr().out and not JOB.file.exists()
    begun = json.loads((JOB.folder / training.NOTES).read_text())
    (JOB.folder / training.NOTES).write_text(json.dumps(begun | dict(seconds=100)))
    Path('fails').unlink()
    assert asyncio.run(measure_all([OTHER, JOB], 2, None)) == []
    assert json.loads(JOB.file.read_text())['seconds'] >= 100


def test_a_training_of_another_tiny_sd_starts_again(clone, programs, monkeypatch):
    begin(JOB)
    (JOB.folder / 'iter_4.pth').touch()
    begin(JOB)
    assert (JOB.folder / 'iter_4.pth').exists()
    monkeypatch.setattr(results, 'tiny_sd_digest', lambda: 'another')
    assert begin(JOB)['tiny_sd'] == 'another' and not (JOB.folder / 'iter_4.pth').exists()


def test_tiny_sd_that_changes_during_a_training(clone, programs, monkeypatch):
    versions = iter(['old', 'new'])
    monkeypatch.setattr(results, 'tiny_sd_digest', lambda: next(versions))
    with pytest.raises(ValueError, match='tiny-sd'):
        asyncio.run(measure(OTHER, 1))
    assert not OTHER.file.exists()


def test_the_time_limit_stops_what_runs(clone, programs, capsys):
    (clone / 'bin' / 'mim').write_text('#!/bin/sh\nexec sleep 1000\n')
    assert asyncio.run(measure_all([JOB, OTHER], 1, 0.01)) == []
    assert 'time limit' in capsys.readouterr().out
    assert (JOB.folder / training.NOTES).exists() and not OTHER.folder.exists()


def test_depth_without_a_model(clone, programs):
    job = Job('depth', 'mean-depth', None)
    assert asyncio.run(measure(job, 1))['metrics']['validation']['rmse'] == 1
    (arguments,) = programs()
    assert arguments[:2] == ['tools/constant_depth.py', job.run.config] and job.file.name == 'mean-depth.json'
