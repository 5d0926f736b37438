import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from tiny_pose import write_checkpoint, write_config

from mmdiffperc.pose import estimate_pose
from mmdiffperc.pose.given_boxes import given_boxes

BOXES = [[5, 6, 25, 50], [20.5, 10, 60, 60], [20.5, 10, 60, 60], [-9, 30, 12, 90]]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config and a checkpoint."""
    folder = tmp_path_factory.mktemp('pose')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'pose.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return MMPoseInferencer(*files, device='cpu', det_model='whole_image')


@pytest.fixture(scope='module')
def reference(files):
    """What mmpose predicts in another way."""
    model = init_model(*files, device='cpu')
    return lambda image, boxes: [
        one.pred_instances for one in inference_topdown(model, image, np.asarray(boxes, np.float32))
    ]


@pytest.fixture(scope='module')
def image():
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8), (9, 9), 3)


def assert_same(people, expected):
    for person, one in zip(people, expected, strict=True):
        np.testing.assert_allclose(person['keypoints'], one.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(person['keypoint_scores'], one.keypoint_scores[0], atol=1e-4)


def test_given_boxes_in_their_order(inferencer, reference, image):
    people, _ = estimate_pose(inferencer, image, BOXES)
    assert [person['bbox'] for person in people] == BOXES
    assert [person['bbox_score'] for person in people] == [1.0] * 4
    assert_same(people, reference(image, BOXES))
    assert len({str(person['keypoints']) for person in people}) == 3


def test_whole_image_is_the_box_by_default(inferencer, reference, image):
    estimate_pose(inferencer, image, BOXES)  # which leaves no trace
    people, _ = estimate_pose(inferencer, image)
    assert [person['bbox'] for person in people] == [[0, 0, 70, 60]]
    assert_same(people, reference(image, [[0, 0, 70, 60]]))


def test_file_and_array_are_the_same(inferencer, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'people.png'), image)
    by_array, by_file = (estimate_pose(inferencer, one, BOXES[:1]) for one in (image, tmp_path / 'people.png'))
    assert by_array[0] == by_file[0]
    np.testing.assert_array_equal(by_array[1], by_file[1])


def test_skeletons_are_drawn_on_the_picture(inferencer, image):
    _, bare = estimate_pose(inferencer, image, BOXES[:2], kpt_thr=1e9)
    _, drawn = estimate_pose(inferencer, image, BOXES[:2], kpt_thr=-1e9, radius=1)
    assert bare.shape == drawn.shape == image.shape and bare.dtype == np.uint8
    np.testing.assert_array_equal(bare, image[..., ::-1])
    assert (drawn != bare).any(axis=2).sum() > 20


def test_detector_comes_back_after_an_error(inferencer):
    pose2d = inferencer.inferencer
    with pytest.raises(RuntimeError), given_boxes(inferencer, np.float32(BOXES)):
        assert pose2d.detector is not None
        raise RuntimeError
    assert pose2d.detector is None and given_boxes(inferencer, None).__enter__() == {}


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([], r'\(0,\)'),
        ([[1, 2, 3]], r'\(1, 3\)'),
        ([[1, 2, 3, 4], [9, 2, 9, 4]], r'\[9\.0, 2\.0, 9\.0, 4\.0\]'),
        ([[0, 0, float('nan'), 9]], 'nan'),
        ([[70, 0, 90, 9]], r'\[70\.0, 0\.0, 90\.0, 9\.0\].*70.*60'),
    ],
)
def test_bad_boxes(inferencer, image, boxes, message):
    with pytest.raises(ValueError, match=message):
        estimate_pose(inferencer, image, boxes)


def test_bad_images(inferencer, tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').write_bytes(b'')
    for name, error in {'text.png': ValueError, 'empty.png': ValueError, 'absent.png': FileNotFoundError}.items():
        with pytest.raises(error, match=name):
            estimate_pose(inferencer, tmp_path / name)
    with pytest.raises(ValueError, match=r'\(4, 5\).*float64'):
        estimate_pose(inferencer, np.zeros((4, 5)))


@pytest.mark.parametrize('size', [(1, 1), (7, 300), (300, 7)])
def test_unusual_sizes(inferencer, size):
    people, picture = estimate_pose(inferencer, np.full((*size, 3), 99, np.uint8))
    assert np.isfinite(people[0]['keypoints']).all() and picture.shape == (*size, 3)


def test_other_host_in_between(inferencer, image):
    before = estimate_pose(inferencer, image, BOXES[:1])[0]
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert estimate_pose(inferencer, image, BOXES[:1])[0] == before
