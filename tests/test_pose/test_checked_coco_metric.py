import json

import pytest
from mmpose.registry import METRICS

import mmdiffperc.pose  # noqa: F401


def test_unknown_argument():
    with pytest.raises(TypeError, match='use_area'):
        METRICS.build(dict(type='CheckedCocoMetric', use_areas=False))


def test_annotations_are_checked(tmp_path):
    figure = dict(id=7, image_id=1, category_id=1, bbox=[10, 5, 30, 60], keypoints=[20, 30, 2] * 17)
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(dict(images=[dict(id=1)], annotations=[figure], categories=[dict(id=1)])))
    METRICS.build(dict(type='CheckedCocoMetric', ann_file=str(path), use_area=False))
    with pytest.raises(ValueError, match=r'people\.json.*annotation 7.*area'):
        METRICS.build(dict(type='CheckedCocoMetric', ann_file=str(path)))
