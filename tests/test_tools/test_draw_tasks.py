"""The figure with a row for each task, from untrained models of the real configs."""

from pathlib import Path

import cv2
import draw_tasks
import numpy as np
import pytest
import torch
from draw_tasks import ROWS, job_of, main
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from pages import ROOT

from mmdiffperc.toy_scenes.vocabulary import TOY_CLASSES


@pytest.fixture
def trained(clone, monkeypatch):
    """A clone in which each model of the figure has a checkpoint, whose weights are those at the start."""
    import mmpose.models  # noqa: F401
    import mmseg.models  # noqa: F401

    for folder in ('configs', 'projects'):
        (clone / folder).symlink_to(ROOT / folder)
    for job in {job.name: job for job in (job_of(row, 0) for row in ROWS)}.values():
        cfg = Config.fromfile(job.run.config)
        cfg.merge_from_dict(job.run.options)
        init_default_scope(cfg.default_scope)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        job.folder.mkdir(parents=True)
        torch.save(dict(state_dict=model.state_dict()), job.folder / 'iter_7.pth')
        (job.folder / 'last_checkpoint').write_text('/elsewhere/iter_7.pth')
    monkeypatch.setattr(draw_tasks, 'SHOWN_SIZE', 96)


def test_a_row_for_each_task(trained, capsys):
    figure = draw_tasks.figure_with_rows(ROWS, draw_tasks.scenes_with_figures(None)[:1], 0, 'cpu')
    grid = np.array(figure.axes).reshape(len(ROWS), 3)
    assert [ax.get_ylabel() for ax in grid[:, 0]] == [row.label for row in ROWS]
    assert [ax.get_title() for ax in grid[0]] == ['image', 'truth', 'prediction']
    pictures = [[ax.images[0].get_array() for ax in axes] for axes in grid]
    assert all(picture.shape[:2] == (96, 96) for row in pictures for picture in row)
    (image,) = {row[0].tobytes() for row in pictures}
    assert all(picture.tobytes() != image for row in (0, 1, 2, 4, 5) for picture in pictures[row][1:])
    truth, found = (len(ax.lines) for ax in grid[3, 1:])  # of the pose
    assert truth == found > 10
    assert grid[2, 0].get_xlabel().startswith('the ') and grid[5, 0].get_xlabel() in TOY_CLASSES
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*TOY_CLASSES]
    out = Path('tasks.png')
    figure.savefig(out)
    height, width = cv2.imread(str(out)).shape[:2]
    assert height > 1.8 * width


def test_scenes_have_a_figure(clone, capsys):
    found = draw_tasks.scenes_with_figures(None)
    assert len(found) == draw_tasks.NUM_SCENES and draw_tasks.scenes_with_figures(found) == found
    without = next(index for index in range(99) if index not in draw_tasks.scenes_with_figures(None))
    assert main(['--validation-scenes', str(without)]) == 1
    assert f'[{without}]' in capsys.readouterr().err


def test_a_model_that_has_not_been_trained(clone, capsys):
    assert main(['--device', 'cpu']) == 1
    message = capsys.readouterr().err
    assert 'segmentation/pre-trained-3600-seed0' in message and '--task segmentation --seeds 0' in message
    assert message.count('\n') == 1
