"""What `tests/bad_inputs` does not try: a file with a field of another type, or a damaged one, is an error there."""

import json
from warnings import catch_warnings

import numpy as np
import pytest
from logs import heard
from mmpose.datasets.datasets import CocoDataset, CocoWholeBodyDataset
from PIL import ExifTags, Image

from mmdiffperc.pose.dataset_check import overlaps

from .people import FIGURE, KEYPOINTS


def test_good_file_is_that_of_mmpose(load, caplog):
    with heard(caplog):
        (sample,) = load(FIGURE)
    assert sample['bbox'].tolist() == [[10, 5, 40, 65]] and sample['keypoints'].shape == (1, 17, 2)
    assert 'people.json' not in caplog.text


def test_data_sets_of_another_format_are_left_alone(load):
    class Own(CocoDataset):
        def parse_data_info(self, raw_data_info):
            """Parse keypoints of another number."""
            return super().parse_data_info(raw_data_info)

    assert len(load(dict(FIGURE, keypoints=KEYPOINTS[:42]), kind=Own)) == 1


def test_file_without_keypoints(load):
    boxes_only = {key: value for key, value in FIGURE.items() if 'keypoints' not in key}
    with pytest.raises(ValueError, match=r'people\.json.*\b2\b.*person_keypoints_train2017'):
        load(boxes_only, boxes_only)
    with pytest.raises(ValueError, match=r'\b1\b.*keypoints'):
        load(boxes_only, detections=[FIGURE['bbox']])
    with pytest.raises(ValueError, match=r'people\.json.*\b0\b'):
        load()


def test_detections_need_no_truth(load):
    (sample,) = load(detections=[FIGURE['bbox']])
    assert sample['bbox'].tolist() == [[10, 5, 40, 65]]


def test_other_objects_do_not_matter(load):
    boxes_only = {key: value for key, value in FIGURE.items() if 'keypoints' not in key}
    assert len(load(boxes_only, FIGURE)) == 1


def test_other_number_of_keypoints(load):
    with pytest.raises(ValueError, match=r'annotation 2.*\b42\b.*keypoints.*17, 51'):
        load(FIGURE, dict(FIGURE, keypoints=KEYPOINTS[:42]))


def test_nothing_usable(load):
    unlabelled = dict(FIGURE, keypoints=[0] * 51, num_keypoints=0)
    with pytest.raises(ValueError, match=r'\b2\b.*keypoints'):
        load(unlabelled, dict(FIGURE, iscrowd=1))


def test_boxes_outside_are_left_out(load, caplog):
    outside = dict(FIGURE, bbox=[95, 5, 30, 60])
    partly = dict(FIGURE, bbox=[-20, 40, 30, 60])
    with heard(caplog):
        dataset = load(outside, FIGURE, partly, dict(FIGURE, bbox=[10, 5, 0, 60]))
    assert [sample['id'] for sample in dataset] == [2, 3]
    assert dataset[1]['bbox'].tolist() == [[0, 40, 10, 79]]
    assert caplog.text.count('image: 2') == 1
    with pytest.raises(ValueError, match=r'people\.json'):
        load(outside)


@pytest.mark.parametrize('name', ['../1.png', '/1.png'])
@pytest.mark.parametrize('detections', [None, [FIGURE['bbox']]])
def test_images_outside_of_their_folder(load, name, detections):
    with pytest.raises(ValueError, match=rf"people\.json, image 1.*'{name}'"):
        load(FIGURE, detections=detections, file_name=name)


def test_detections_in_other_images(load, tmp_path):
    load(FIGURE)
    found = [dict(image_id=7, category_id=1, bbox=FIGURE['bbox'], score=0.5)]
    (tmp_path / 'boxes.json').write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r'boxes\.json.*image_id'):
        CocoDataset(ann_file=str(tmp_path / 'people.json'), bbox_file=str(tmp_path / 'boxes.json'), test_mode=True)


@pytest.mark.parametrize('suffix', ['.pkl', '.pickle', '.yaml', '.yml'])
def test_boxes_that_could_execute_code(load, tmp_path, suffix):
    path = tmp_path / f'boxes{suffix}'
    path.write_text(f'!!python/object/apply:os.mkdir ["{tmp_path / "executed"}"]')
    load(FIGURE)
    with pytest.raises(ValueError, match=f'boxes{suffix}.*json'):
        CocoDataset(ann_file=str(tmp_path / 'people.json'), bbox_file=str(path), test_mode=True)
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ((-5, -5, 1, 1), True),
        ((-5, -5, 0, 1), False),
        ((89, 79, 200, 200), True),
        ((90, 0, 95, 10), False),
        ((5, 80, 9, 90), False),
        ((7, 7, 7, 9), False),
        ((-np.inf, 5, np.inf, 9), False),
        ((1, 5, np.nan, 9), False),
    ],
)
def test_overlaps(box, expected):
    assert overlaps(box, (80, 90)) is expected


TURNED_PHOTO, UPRIGHT = (80, 90), (90, 80)  # (height, width) of the stored pixels, and as the photo is shown


@pytest.fixture
def photo(tmp_path):
    """The image as a photo of a phone that was held upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new('RGB', TURNED_PHOTO[::-1]).save(tmp_path / '1.jpg', exif=exif)
    return '1.jpg'


@pytest.mark.parametrize('detections', [None, [FIGURE['bbox']]])
def test_annotations_of_the_raw_pixels_of_a_turned_photo(load, photo, detections):
    loader = dict(type='mmpose.LoadImage')
    options = dict(detections=detections, file_name=photo, size=TURNED_PHOTO)
    with pytest.raises(ValueError, match=r"people\.json.*image 1.*1\.jpg.*LoadImage.*'color_ignore_orientation'"):
        load(FIGURE, pipeline=[loader], **options)
    (sample,) = load(FIGURE, pipeline=[loader | dict(color_type='color_ignore_orientation')], **options)
    assert sample['img_shape'] == TURNED_PHOTO


def test_annotations_of_an_upright_photo(load, photo):
    (sample,) = load(FIGURE, pipeline=[dict(type='mmpose.LoadImage')], file_name=photo, size=UPRIGHT)
    assert sample['img_shape'] == UPRIGHT


def test_missing_image(load):
    with pytest.raises(FileNotFoundError, match=r"2\.png, image 1.*people\.json.*'1\.png'"):
        load(FIGURE, file_name='2.png')


def test_corners_instead_of_sizes(load):
    with pytest.warns(UserWarning, match=r'people\.json.*\b1\b.*1 boxes.*x1, y1, x2, y2'):
        load(dict(FIGURE, bbox=[40, 5, 70, 65]))  # [40, 5, 30, 60] as corners


@pytest.mark.parametrize('boxes', ['annotations', 'detections'])
def test_boxes_in_shares_of_the_image(load, boxes):
    share = [0.1, 0.1, 0.4, 0.8]
    with pytest.raises(ValueError, match=r'(people|boxes)\.json.*1 boxes.*0\.4, 0\.8.*pixels'):
        load(dict(FIGURE, bbox=share)) if boxes == 'annotations' else load(FIGURE, detections=[share])


def keypoints(*outside, number=17, visible=2):
    """So many labelled keypoints, these first."""
    points = [*outside, *[(20, 30)] * (number - len(outside))]
    return [value for point in points for value in (*point, visible)] + [0] * 3 * (17 - number)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        (keypoints((91, 5), (5, -1)), '2 of the 17 '),  # 12 %
        (keypoints((5, 81), number=9), '1 of the 9 '),  # 11 %
        (keypoints((91, 5)), None),  # 6 %
        (keypoints((90, 80), (0, 0), number=2), None),
        (keypoints((91, 5), (5, -1), visible=0), None),
    ],
)
def test_keypoints_outside(load, found, expected):
    with catch_warnings(record=True) as caught:
        load(dict(FIGURE, keypoints=found, num_keypoints=9))
    texts = [str(one.message) for one in caught if 'people.json' in str(one.message)]
    assert len(texts) == (expected is not None)
    assert all(expected in text and 'annotation 1 ' in text and '1.png' in text for text in texts)


@pytest.mark.parametrize('share', [0.5, 1.0])
def test_keypoints_in_shares_of_the_image(load, share):
    shares = np.tile([0.25, share, 2], 17).tolist()
    with pytest.raises(ValueError, match=r'people\.json.*\b34\b.*keypoints.*0\.25.*pixels'):
        load(dict(FIGURE, keypoints=shares), dict(FIGURE, keypoints=shares))
    load(dict(FIGURE, keypoints=shares), FIGURE)  # a hidden corner is possible


@pytest.mark.parametrize('missing', ['ann_file', 'bbox_file'])
def test_missing_file(load, tmp_path, missing):
    load(FIGURE, detections=[FIGURE['bbox']])
    files = dict(ann_file=str(tmp_path / 'people.json'), bbox_file=str(tmp_path / 'boxes.json'))
    with pytest.raises(FileNotFoundError, match=r'nothing\.json.*\.json'):
        CocoDataset(**files | {missing: str(tmp_path / 'nothing.json')}, test_mode=True)


@pytest.mark.parametrize(
    ('table', 'field', 'name'),
    [
        *(('images', field, 'image 1') for field in ('file_name', 'height', 'width')),
        ('images', 'id', r'image\b.*\b0\b'),
        *(('annotations', field, 'annotation 1') for field in ('image_id', 'category_id')),
        ('annotations', 'id', r'annotation\b.*\b0\b'),
        ('categories', 'id', r'category\b.*\b0\b'),
        ('categories', 'name', 'category 1'),
    ],
)
def test_field_of_the_json_that_is_missing(load, tmp_path, table, field, name):
    load(FIGURE)
    content = json.loads((tmp_path / 'people.json').read_text())
    del content[table][0][field]
    (tmp_path / 'people.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'people\.json.*{name}.*{field}'):
        CocoDataset(ann_file=str(tmp_path / 'people.json'), data_prefix=dict(img=str(tmp_path)))


WHOLE_BODY = dict(foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)
WHOLE_FIGURE = (
    FIGURE | dict(segmentation=[]) | {part: [20.0, 30.0, 2.0] * number for part, number in WHOLE_BODY.items()}
)


def test_whole_bodies(load):
    (sample,) = load(WHOLE_FIGURE, kind=CocoWholeBodyDataset)
    assert sample['keypoints'].shape == (1, 133, 2)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(foot_kpts=None), 'None as foot_kpts.* 18 values.*133.*coco_wholebody.*17 of the body'),
        (dict(face_kpts=[1.0] * 9), '9 values as face_kpts.* 204 values'),
    ],
)
def test_keypoints_of_a_body_for_a_whole_body(load, change, words):
    with pytest.raises(ValueError, match=f'people.json: annotation .*{words}'):
        load(WHOLE_FIGURE, WHOLE_FIGURE | change, kind=CocoWholeBodyDataset)
    with pytest.raises(ValueError, match='foot_kpts'):
        load(FIGURE, kind=CocoWholeBodyDataset)
