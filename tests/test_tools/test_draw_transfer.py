from dataclasses import replace
from pathlib import Path

import cv2
import draw_transfer
import numpy as np
import pytest
import torch
from mmengine.config import Config
from toy_experiments.tasks import TASKS

from mmdiffperc.registry import MODELS
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

ROOT = Path(__file__).parents[2]
TARGETS = ('depth', 'albedo')


@pytest.fixture(scope='module')
def repository(tmp_path_factory):
    """A folder with two images and untrained runs of two targets, each of two models; and these tasks."""
    folder = tmp_path_factory.mktemp('repository')
    write_dataset(folder / 'data', DatasetSpec(1, 2, (64, 64), seed=0, formats=('dmp_b',)))
    torch.manual_seed(0)
    return folder, {f'dmp-{target}': small(TASKS[f'dmp-{target}'], target, folder) for target in TARGETS}


@pytest.fixture
def draw(repository, monkeypatch):
    """The tool, in that repository."""
    folder, tasks = repository
    monkeypatch.setattr(draw_transfer, 'TASKS', {'depth': None} | tasks)  # the first is not one of DMP's
    monkeypatch.chdir(folder)
    return draw_transfer


def small(task, target, folder):
    """The task with small images, one step, and without its third model; a checkpoint of each of its models."""
    runs = {}
    for name, run in list(task.runs.items())[:2]:
        config = Config.fromfile(ROOT / run.config)
        config.model.num_steps = 1
        config.test_dataloader.dataset.data_root = str(folder / 'data/dmp_b')
        next(one for one in config.test_dataloader.dataset.pipeline if one.type == 'Resize').scale = (64, 64)
        config.dump(folder / f'{target}-{name}.py')
        trained = folder / f'work_dirs/prior/dmp-{target}/{name}-seed1'
        trained.mkdir(parents=True)
        model = MODELS.build(config.model)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), trained / 'iter_7.pth')
        (trained / 'last_checkpoint').write_text(str(trained / 'iter_7.pth'))
        runs[name] = replace(run, config=str(folder / f'{target}-{name}.py'))
    return replace(task, runs=runs)


def test_draws_a_row_for_each_target_and_index(draw, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdiffperc.progress.DELAY', 0)
    out = tmp_path / 'new' / 'figure.png'
    assert draw.main(['--seed', '1', '--indices', '1', '0', '--out-file', str(out), '--device', 'cpu']) == 0
    shown, progress = capsys.readouterr()
    assert f'{out} written' in shown and 'predict: 100%' in progress
    assert cv2.imread(str(out)).shape == (680, 680, 3)


def test_panels_are_image_truth_and_predictions(draw):
    (panels,) = draw.draw_rows('dmp-depth', 1, [1], 'cpu')
    assert list(panels) == ['image', 'truth', 'DMP', 'plain regression']
    image = cv2.imread(str(sorted(Path('data/dmp_b/val').glob('*.png'))[1]))[..., ::-1]
    np.testing.assert_allclose(panels['image'], image / 255, atol=1e-6)
    assert {panel.shape for title, panel in panels.items() if title != 'image'} == {(64, 64, 1)}
    assert panels['truth'].min() > 0.1 and np.abs(panels['DMP'] - panels['plain regression']).mean() > 0.1


def test_bad_input_is_one_clear_line(draw, capsys):
    for arguments, message in (
        (['--seed', '3'], 'python tools/measure_prior.py --task dmp-depth --seeds 3'),
        (['--seed', '1', '--indices', '2'], '[2]'),
    ):
        assert draw.main([*arguments, '--device', 'cpu']) == 1
        error = capsys.readouterr().err
        assert message in error and error.count('\n') == 1
