import json

import constant_depth
import cv2
import numpy as np
import pytest
from mmengine.config import Config
from tiny_depth import CONFIG


@pytest.fixture
def config(tmp_path):
    """The toy config on two training maps, with holes, and two test maps."""
    maps = dict(
        train=[np.array([[1000, 2000, 0], [3000, 0, 0]]), np.full((2, 3), 3000)],
        test=[np.full((2, 3), 4000), np.array([[2000, 0, 2000], [0, 0, 0]])],
    )
    for split, depths in maps.items():
        for index, depth in enumerate(depths):
            for kind, array in (('annotations', depth.astype(np.uint16)), ('images', np.zeros((2, 3, 3), np.uint8))):
                folder = tmp_path / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'kitchen_{index}.png'), array)
    cfg = Config.fromfile(CONFIG)
    for split in ('train', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(tmp_path)
    cfg.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


def test_scores_the_mean_of_the_pixels_that_have_depth(config):
    mean = (1 + 2 + 3 + 6 * 3) / 9  # metres, of pixels: the maps have three and six
    scores = constant_depth.constant_scores(config)
    assert scores['rmse'] == pytest.approx(((4 - mean) + (mean - 2)) / 2, abs=1e-5)
    assert scores['abs_rel'] == pytest.approx(((4 - mean) / 4 + (mean - 2) / 2) / 2, abs=1e-5)


def test_prints_and_writes_them(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdiffperc.progress.DELAY', 0)
    assert constant_depth.main([config, '--out-file', str(tmp_path / 'new' / 'scores.json')]) == 0
    shown, progress = capsys.readouterr()
    assert 'rmse: 1.0000\n' in shown and 'mean depth: 100%' in progress and 'evaluate: 100%' in progress
    assert json.loads((tmp_path / 'new' / 'scores.json').read_text())['rmse'] == pytest.approx(1, abs=1e-5)


def test_bad_input_is_one_clear_line(config, tmp_path, capsys):
    (tmp_path / 'empty.py').write_text('')
    without_depth = Config.fromfile(config)
    without_depth.test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    without_depth.dump(tmp_path / 'without_depth.py')
    for name, message in (
        ('empty.py', 'empty.py: expected the config of a depth estimator, but it has no test_pipeline'),
        ('without_depth.py', 'kitchen_0.png: expected the config of a depth estimator, which loads gt_depth_map'),
    ):
        assert constant_depth.main([str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err


def test_training_maps_without_any_depth(config, tmp_path, capsys):
    for path in (tmp_path / 'annotations/train').iterdir():
        cv2.imwrite(str(path), np.zeros((2, 3), np.uint16))
    assert constant_depth.main([config]) == 1
    assert 'annotations/train' in capsys.readouterr().err
