import json

import cv2
import numpy as np
import pytest
import tiny_det
import torch
from mmpose.apis import MMPoseInferencer
from tiny_pose import write_checkpoint, write_config

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.pose import estimate_pose


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    """A config and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('pose')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'pose.pth')


@pytest.fixture
def image(tmp_path):
    """An image file, 70 wide and 60 high."""
    cv2.imwrite(str(tmp_path / 'people.png'), np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8))
    return tmp_path / 'people.png'


@pytest.fixture
def run(tool, model_files, tmp_path):
    """Runs the tool; returns its exit status."""
    import estimate_pose as tool_module

    def run(image, *options):
        arguments = [*model_files, str(image), '--out', str(tmp_path / 'out'), '--device', 'cpu', *options]
        return tool_module.main(arguments)

    return run


def test_picture_and_keypoints(run, model_files, image, tmp_path, capsys):
    boxes = [[5, 6, 25, 50], [20, 10, 60, 60]]
    assert run(image, '--box', *'5 6 25 50'.split(), '--box', *'20 10 60 60'.split(), '--threshold', '-9') == 0
    assert 'poses written: 2' in capsys.readouterr().out
    inferencer = MMPoseInferencer(*model_files, device='cpu', det_model='whole_image')
    people, picture = estimate_pose(inferencer, image, boxes, kpt_thr=-9, draw_bbox=True)
    content = json.loads((tmp_path / 'out/people_pose.json').read_text())
    assert content['people'] == people and len(content['keypoint_names']) == 17
    assert content['keypoint_names'][0] == 'nose' and content['keypoint_names'][16] == 'right_ankle'
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out/people_pose.png'))[..., ::-1], picture)


def test_no_keypoint_reaches_the_threshold(run, model_files, image, tmp_path, capsys):
    assert run(image, '--threshold', '9') == 0
    (person,) = json.loads((tmp_path / 'out/people_pose.json').read_text())['people']
    last = capsys.readouterr().out.splitlines()[-1]
    assert str(image) in last and '--threshold 9' in last and f'{max(person["keypoint_scores"]):.3f}' in last
    assert not (tmp_path / 'out/people_pose.png').exists()


def test_a_keypoint_at_the_threshold_is_drawn(run, model_files, image, tmp_path, capsys):
    inferencer = MMPoseInferencer(*model_files, device='cpu', det_model='whole_image')
    ((person,), _) = estimate_pose(inferencer, image)
    assert run(image, '--threshold', repr(float(max(person['keypoint_scores'])))) == 0
    assert '--threshold' not in capsys.readouterr().out
    assert (tmp_path / 'out/people_pose.png').exists()


def test_boxes_of_a_detector(run, image, tmp_path):
    detector = tiny_det.write_config(tiny_det.RETINANET, tmp_path)
    checkpoint = tiny_det.write_checkpoint(detector, tmp_path / 'detector.pth')
    content = load_file(checkpoint)
    biases = content['state_dict']['bbox_head.retina_cls.bias'].view(-1, tiny_det.NUM_CLASSES)
    biases[:, 3] = 2.0  # sure of its persons
    torch.save(content, checkpoint)
    assert run(image, '--detector', detector, '--detector-checkpoint', checkpoint, '--person', '3') == 0
    people = json.loads((tmp_path / 'out/people_pose.json').read_text())['people']
    assert len(people) > 1 and all(0.3 < person['bbox_score'] < 1 for person in people)
    x1, y1, x2, y2 = np.array([person['bbox'] for person in people]).T
    assert (x1 < x2).all() and (y1 < y2).all()


def test_the_whole_image_by_default(run, image, tmp_path):
    assert run(image) == 0
    (person,) = json.loads((tmp_path / 'out/people_pose.json').read_text())['people']
    assert (person['bbox'], person['bbox_score']) == ([0, 0, 70, 60], 1)


def test_checkpoint_of_a_detector_without_its_config(run, image, capsys):
    with pytest.raises(SystemExit):
        run(image, '--detector-checkpoint', 'detector.pth')
    assert '--detector' in capsys.readouterr().err


def test_errors_are_one_clear_line(run, image, tmp_path, capsys):
    def message(*arguments):
        assert run(*arguments) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert message(image, '--box', '80', '0', '90', '9').startswith('estimate_pose: Box [80.0, 0.0, 90.0, 9.0] lies')
    assert 'absent.png' in message(tmp_path / 'absent.png')
    assert not (tmp_path / 'out').exists()
