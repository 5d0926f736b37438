import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MessageHub
from mmpose.registry import METRICS

import mmdiffperc.pose  # noqa: F401

KEYPOINTS = np.stack([np.linspace(10, 40, 17), np.linspace(5, 65, 17)], 1)  # (K, 2)
FIGURE = dict(
    id=7,
    image_id=1,
    category_id=1,
    bbox=[10, 5, 30, 60],
    keypoints=np.c_[KEYPOINTS, np.full(17, 2)].ravel().tolist(),
    num_keypoints=17,
    area=954,  # 0.53 * 30 * 60
    iscrowd=0,
)
META = dict(dataset_name='figures', num_keypoints=17, sigmas=np.full(17, 0.05))


@pytest.fixture
def write(tmp_path):
    """Write a file with a figure that lacks some fields; returns its path."""

    def write(*missing, **changed):
        figure = {key: value for key, value in (FIGURE | changed).items() if key not in missing}
        image = dict(id=1, file_name='1.png', height=80, width=90)
        content = dict(images=[image], annotations=[figure], categories=[dict(id=1, name='person')])
        (tmp_path / 'people.json').write_text(json.dumps(content))
        return str(tmp_path / 'people.json')

    return write


def average_precision(shift, **options):
    """Evaluate a prediction that differs from the truth by a shift in x."""
    metric = METRICS.build(dict(type='CocoMetric', **options))
    metric.dataset_meta = dict(META)
    found = dict(keypoints=(KEYPOINTS + [shift, 0])[None], keypoint_scores=np.ones((1, 17)))
    truth = dict(bbox_scores=np.ones(1), bbox_scales=np.array([[30.0, 60.0]]))
    metric.process({}, [dict(id=7, img_id=1, ori_shape=(80, 90), pred_instances=found, gt_instances=truth)])
    return metric.evaluate(1)['coco/AP']


@pytest.mark.parametrize(
    ('missing', 'options'),
    [((), {}), (('area',), dict(use_area=False)), (('area', 'iscrowd', 'num_keypoints'), dict(use_area=False))],
)
def test_average_precision(write, missing, options):
    """A shift of 2.5 has a similarity of exp(-2.5^2 / (2 * (2 * 0.05)^2 * 954)) = 0.72: 5 of the 10 thresholds."""
    file = write(*missing)
    assert average_precision(0, ann_file=file, **options) == pytest.approx(1)
    assert average_precision(2.5, ann_file=file, **options) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('missing', 'options', 'advice'),
    [
        ('area', {}, 'use_area=False'),
        ('bbox', dict(use_area=False), 'boxes'),
        ('keypoints', {}, r'\[0, 0, 0\]'),
        ('num_keypoints', dict(iou_type='keypoints_crowd'), "iou_type='keypoints'"),
    ],
)
def test_what_the_annotations_lack(write, missing, options, advice):
    with pytest.raises(ValueError, match=rf'people\.json.*annotation 7.*{missing}.*{advice}'):
        METRICS.build(dict(type='CocoMetric', ann_file=write(missing), **options))


@pytest.mark.parametrize('area', [None, '954', -1, float('nan'), 0, 0.0])
def test_area_that_the_measure_cannot_use(write, area):
    file = write(area=area)
    with pytest.raises(ValueError, match=r'people\.json.*annotation 7.*use_area=False'):
        METRICS.build(dict(type='CocoMetric', ann_file=file))
    assert average_precision(0, ann_file=file, use_area=False) == pytest.approx(1)


def write_more(write, *figures):
    """Add figures to the one in the file."""
    path = Path(write())
    content = json.loads(path.read_text())
    content['annotations'] += [FIGURE | dict(id=8 + index) | figure for index, figure in enumerate(figures)]
    path.write_text(json.dumps(content))
    return str(path)


def test_a_few_areas_of_0_are_a_warning(write):
    with pytest.warns(UserWarning, match=r'people\.json.*\b1\b.*\b2\b.*annotation 8.*use_area=False'):
        METRICS.build(dict(type='CocoMetric', ann_file=write_more(write, dict(area=0))))


def test_areas_of_0_that_do_not_count(write):
    """A crowd, and an object without labelled keypoints."""
    figures = dict(area=0, iscrowd=1), dict(area=0, keypoints=[0] * 51)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        METRICS.build(dict(type='CocoMetric', ann_file=write_more(write, *figures)))
    assert not [one for one in caught if 'people.json' in str(one.message)]


def test_missing_file(tmp_path):
    (tmp_path / 'persons.json').touch()
    with pytest.raises(FileNotFoundError, match=r"people\.json.*'persons\.json'"):
        METRICS.build(dict(type='CocoMetric', ann_file=str(tmp_path / 'people.json')))


def test_file_of_the_data_set(write):
    """As in most configs, the metric finds the file by the name of the data set."""
    metric = METRICS.build(dict(type='CocoMetric'))
    MessageHub.get_current_instance().update_info('figures_ann_file', write('area'))
    with pytest.raises(ValueError, match=r'people\.json.*annotation 7.*area.*use_area=False'):
        metric.dataset_meta = dict(META)


def test_test_images_need_no_annotations(write, tmp_path):
    options = dict(ann_file=write('area'), format_only=True, outfile_prefix=str(tmp_path / 'out'))
    METRICS.build(dict(type='CocoMetric', **options)).dataset_meta = dict(META)


def test_metrics_that_evaluate_differently_are_left_alone(write):
    METRICS.build(dict(type='CocoWholeBodyMetric', ann_file=write('area')))
