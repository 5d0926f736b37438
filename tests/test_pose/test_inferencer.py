import json
import re

import cv2
import numpy as np
import pytest
import tiny_det
import torch
from mmengine.registry import DefaultScope
from mmpose.apis import inference_topdown, init_model
from tiny_pose import write_checkpoint, write_config

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.inference import build_inferencer
from mmdiffperc.pose import PoseInferencer

BOXES = [[5, 6, 25, 50], [20.5, 10, 60, 60], [20.5, 10, 60, 60], [-9, 30, 12, 90]]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config and a checkpoint."""
    folder = tmp_path_factory.mktemp('pose')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'pose.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return build_inferencer(*files, device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def reference(files):
    """What mmpose predicts."""
    model = init_model(*files, device='cpu')
    return lambda image, boxes: [
        one.pred_instances for one in inference_topdown(model, image, np.asarray(boxes, np.float32))
    ]


@pytest.fixture(scope='module')
def image():
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8), (9, 9), 3)


def predict(inferencer, image, **options):
    (prediction,) = inferencer(image, **options)['predictions']
    return prediction


def assert_same(people, expected):
    assert len(people['keypoints']) == len(expected)
    for points, scores, one in zip(people['keypoints'], people['keypoint_scores'], expected, strict=True):
        np.testing.assert_allclose(points, one.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(scores, one.keypoint_scores[0], atol=1e-4)


def test_given_boxes_in_their_order(inferencer, reference, image):
    assert isinstance(inferencer, PoseInferencer)
    assert {control.name for control in inferencer.controls} == {'boxes', 'threshold'} <= inferencer.call_options()
    people = predict(inferencer, image, boxes=BOXES)
    assert people['boxes'].tolist() == BOXES and people['box_scores'].tolist() == [1.0] * 4
    assert_same(people, reference(image, BOXES))
    assert len({str(points) for points in people['keypoints']}) == 3


def test_whole_image_is_the_box_by_default(inferencer, reference, image):
    people = predict(inferencer, image)
    assert people['boxes'].tolist() == [[0, 0, 70, 60]] and people['box_scores'].tolist() == [1]
    assert_same(people, reference(image, [[0, 0, 70, 60]]))


def test_a_batch_of_different_sizes(inferencer, reference, image):
    images = [image, image[10:, :40].copy(), image[::-1].copy()]
    predictions = inferencer(images, batch_size=3, boxes=BOXES[:2])['predictions']
    for people, one in zip(predictions, images, strict=True):
        assert_same(people, reference(one, BOXES[:2]))


def test_mixed_precision(files, inferencer, image):
    half = build_inferencer(*files, device='cpu', dtype='bfloat16', show_progress=False)
    people, expected = predict(half, image), predict(inferencer, image)
    assert people['keypoint_scores'].dtype == np.float32
    np.testing.assert_allclose(people['keypoint_scores'], expected['keypoint_scores'], atol=0.5)


def test_files(inferencer, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'people.png'), image)
    options = dict(boxes=BOXES[:2], out_dir=tmp_path / 'out', return_vis=True)
    (bare,) = inferencer(tmp_path / 'people.png', threshold=9, **options)['visualization']
    results = inferencer(tmp_path / 'people.png', threshold=-9, **options)
    (drawn,), (people,) = results['visualization'], results['predictions']
    assert drawn.shape == image.shape and drawn.dtype == np.uint8 and (drawn != bare).any(axis=2).sum() > 20
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out/people_pose.png'))[..., ::-1], drawn)
    content = json.loads((tmp_path / 'out/people_pose.json').read_text())
    assert len(content['keypoint_names']) == 17
    assert content['keypoint_names'][0] == 'nose' and content['keypoint_names'][16] == 'right_ankle'
    assert [one['box'] for one in content['people']] == BOXES[:2]
    for number, one in enumerate(content['people']):
        np.testing.assert_allclose(one['keypoints'], people['keypoints'][number])
        np.testing.assert_allclose(one['keypoint_scores'], people['keypoint_scores'][number])
        assert one['box_score'] == 1
    highest = people['keypoint_scores'].max()
    assert inferencer.summarize(people).startswith('persons: 2') and f'{highest:.3f}' in inferencer.summarize(people)


def test_boxes_of_a_detector(files, reference, image, tmp_path):
    detector = tiny_det.write_config(tiny_det.RETINANET, tmp_path)
    checkpoint = tiny_det.write_checkpoint(detector, tmp_path / 'detector.pth')
    content = load_file(checkpoint)
    biases = content['state_dict']['bbox_head.retina_cls.bias'].view(-1, tiny_det.NUM_CLASSES)
    biases[:, 3] = 2.0  # sure of its persons
    torch.save(content, checkpoint)
    settings = dict(detector=detector, detector_weights=checkpoint, device='cpu', show_progress=False)
    inferencer = build_inferencer(*files, person=3, **settings)
    people = predict(inferencer, image)
    assert len(people['boxes']) > 1 and ((people['box_scores'] > 0.3) & (people['box_scores'] < 1)).all()
    assert_same(people, reference(image, people['boxes']))
    inferencer.person = 4  # of which it finds none
    assert predict(inferencer, image)['boxes'].tolist() == [[0, 0, 70, 60]]
    with pytest.raises(ValueError, match='detector_weights'):
        build_inferencer(*files, detector_weights=checkpoint)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([], '(0,)'),
        ([[1, 2, 3]], '(1, 3)'),
        ([[1, 2, 3, 4], [9, 2, 9, 4]], '[9.0, 2.0, 9.0, 4.0]'),
        ([[0, 0, float('nan'), 9]], 'nan'),
        ([[70, 0, 90, 9]], '[70.0, 0.0, 90.0, 9.0]'),
    ],
)
def test_bad_boxes(inferencer, image, boxes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        inferencer(image, boxes=boxes)


@pytest.mark.parametrize('size', [(1, 1), (7, 300), (300, 7)])
def test_unusual_sizes(inferencer, size):
    results = inferencer(np.full((*size, 3), 99, np.uint8), return_vis=True)
    assert np.isfinite(results['predictions'][0]['keypoints']).all()
    assert results['visualization'][0].shape == (*size, 3)


def test_other_host_in_between(inferencer, image):
    before = predict(inferencer, image, boxes=BOXES[:1])
    with DefaultScope.overwrite_default_scope('mmseg'):
        np.testing.assert_array_equal(predict(inferencer, image, boxes=BOXES[:1])['keypoints'], before['keypoints'])
