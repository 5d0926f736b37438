import numpy as np
import pytest

from mmdiffperc.evaluation.masks import class_measures, confusion_matrix, object_measures


def test_classes_by_hand():
    """Class 3 occurs nowhere."""
    confusion = confusion_matrix(np.array([0, 0, 1, 2, 0]), np.array([0, 1, 1, 2, 2]), 4)
    assert confusion.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    found = class_measures(confusion, per_class=True)
    assert found['aAcc'] == pytest.approx(60)
    assert found['mIoU'] == pytest.approx(100 * (1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert found['mAcc'] == pytest.approx(100 * (1 + 1 / 2 + 1 / 2) / 3)
    assert found['IoU.0'] == pytest.approx(100 / 3) and np.isnan(found['IoU.3'])
    assert set(class_measures(confusion)) == {'aAcc', 'mIoU', 'mAcc'}


def test_objects_by_hand():
    """IoU 1/4 of 4 pixels, 6/10, 1 of 2."""
    assert object_measures([(1, 4), (6, 10), (2, 2)]) == pytest.approx(
        {
            'oIoU': 100 * 9 / 16,
            'mIoU': 100 * (0.25 + 0.6 + 1) / 3,
            'precision@0.5': 200 / 3,
            'precision@0.6': 200 / 3,
            'precision@0.7': 100 / 3,
            'precision@0.8': 100 / 3,
            'precision@0.9': 100 / 3,
        }
    )


@pytest.mark.parametrize(
    ('intersection', 'union', 'threshold'), [(5, 10, 0.5), (6, 10, 0.6), (7, 10, 0.7), (9, 10, 0.9)]
)
def test_threshold_itself_counts(intersection, union, threshold):
    assert object_measures([(intersection, union)])[f'precision@{threshold}'] == 100
    assert object_measures([(intersection - 1, 10)])[f'precision@{threshold}'] == 0


def test_empty_union_counts_as_zero():
    found = object_measures([(0, 0), (3, 4)])
    assert (found['mIoU'], found['oIoU'], found['precision@0.5']) == pytest.approx((100 * 0.75 / 2, 75, 50))
    assert set(object_measures([(0, 0)]).values()) == {0.0}
