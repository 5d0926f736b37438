from pathlib import Path

import mmpose
import numpy as np
import pytest
from mmengine.config import Config

from mmdiffperc.toy_scenes import render
from mmdiffperc.toy_scenes.figure import KEYPOINTS, make_figure

from .scenes import room, single

BLUE = np.array([0.1, 0.2, 0.9], np.float32)


def figure_facing(angle, seed=0, x=0.0):
    """A figure at z = -4 that faces the camera, or is turned from it by an angle."""
    return make_figure(np.random.default_rng(seed), 'blue', BLUE).placed(angle, (x, 0, -4))


def keypoints(scene, size=(96, 112)):
    """Keypoints of the figure in a scene, by name."""
    (figure,) = (one for one in render(scene, size).instances if one.class_name == 'figure')
    return dict(zip(KEYPOINTS, figure.keypoints, strict=True))


def test_names_are_mmposes():
    info = Config.fromfile(Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets/coco.py').dataset_info
    assert tuple(info['keypoint_info'][number]['name'] for number in range(17)) == KEYPOINTS


def test_face_shows_from_the_front_only():
    front, back = (keypoints(room(figure_facing(angle))) for angle in (0, np.pi))
    for name in ('nose', 'left_eye', 'right_eye'):
        assert front[name][2] == 2 and back[name][2] == 1


def test_left_is_the_figures_own_left():
    front, back = (keypoints(room(figure_facing(angle))) for angle in (0, np.pi))
    for name in ('shoulder', 'hip'):
        assert front[f'left_{name}'][0] > front[f'right_{name}'][0]
        assert back[f'left_{name}'][0] < back[f'right_{name}'][0]


@pytest.mark.parametrize('seed', range(6))
def test_keypoints_lie_on_the_figure(seed):
    scene = room(figure_facing(0.5, seed))
    rendering = render(scene, (192, 224))
    xyv = rendering.instances[0].keypoints
    columns, rows = np.round(xyv[:, :2]).astype(int).T
    assert (xyv[:, 2] > 0).all()
    assert (rendering.instance_map[rows, columns] == 1).sum() >= 15
    assert (xyv[:, 2] == 2).sum() >= 8


def test_keypoints_behind_something_are_hidden():
    # A box as high as the hips stands before the figure.
    hiding = single('box', [0, 0.45, -3.0], [0.6, 0.45, 0.2], angle=0)
    free, hidden = keypoints(room(figure_facing(0))), keypoints(room(figure_facing(0), hiding))
    for name in ('left_knee', 'right_knee', 'left_ankle', 'right_ankle'):
        assert free[name][2] == 2 and hidden[name][2] == 1
        assert np.allclose(free[name][:2], hidden[name][:2])
    assert free['nose'][2] == hidden['nose'][2] == 2


def test_keypoints_outside_of_the_image_are_zero():
    # Half of the picture ends within the figure.
    half_width = 4 / 1.1 / 2
    found = np.array(list(keypoints(room(figure_facing(0, x=half_width + 0.1)), (96, 96)).values()))
    outside = found[:, 2] == 0
    assert 3 < outside.sum() < 17
    assert (found[outside] == 0).all()
    assert (found[~outside, 0] <= 95.5).all() and (found[~outside, 0] > 48).all()


@pytest.mark.parametrize('seed', range(6))
def test_bones_keep_their_lengths_and_feet_touch_the_floor(seed):
    figure = make_figure(np.random.default_rng(seed), 'blue', BLUE, height=1.7)
    points = dict(zip(KEYPOINTS, figure.keypoints, strict=True))
    for side in ('left', 'right'):
        assert np.linalg.norm(points[f'{side}_hip'] - points[f'{side}_knee']) == pytest.approx(0.42, abs=1e-4)
        assert np.linalg.norm(points[f'{side}_elbow'] - points[f'{side}_wrist']) == pytest.approx(0.27, abs=1e-4)
    soles = [points[f'{side}_ankle'][1] for side in ('left', 'right')]
    assert 0 < min(soles) < 0.15
    taller = make_figure(np.random.default_rng(seed), 'blue', BLUE, height=3.4)
    assert np.allclose(taller.keypoints, 2 * figure.keypoints, atol=1e-4)
