import numpy as np
import pytest

from mmdiffperc.captions import NameClasses

CLASSES = ['background', 'dog', 'traffic_light', 'cat', 'bus', 'car', 'cow', 'tree']
LABELS = np.array([[3, 1, 255], [0, 2, 3]])


def named(text):
    return [name for name in CLASSES if name.replace('_', ' ') in text]


def test_present_classes():
    results = NameClasses(CLASSES)(dict(img_path='a.png', gt_seg_map=LABELS))
    assert results['text'] == 'background dog traffic light cat'
    assert NameClasses(CLASSES)(dict(img_path='a.png', gt_bboxes_labels=np.array([5, 3, 5])))['text'] == 'cat car'


def test_all_classes():
    everything = 'background dog traffic light cat bus car cow tree'
    assert NameClasses(CLASSES, present_only=False)(dict(img_path='a.png'))['text'] == everything
    assert NameClasses(CLASSES, template='a photo of {}')(dict(text='a bus'))['text'] == 'a photo of a bus'


@pytest.mark.parametrize(
    ('precision', 'recall', 'right', 'wrong'), [(1, 0.67, 2, 0), (0.5, 1, 3, 3), (0.5, 0.34, 1, 1), (0.75, 0, 0, 0)]
)
def test_precision_and_recall(precision, recall, right, wrong):
    """Of dog, traffic light and cat; the background is always named."""
    name = NameClasses(CLASSES, precision=precision, recall=recall)
    texts = [name(dict(img_path=f'{index}.png', gt_seg_map=LABELS))['text'] for index in range(20)]
    assert texts == [name(dict(img_path=f'{index}.png', gt_seg_map=LABELS))['text'] for index in range(20)]
    for text in texts:
        assert 'background' in text
        found = [name in ('dog', 'traffic_light', 'cat') for name in named(text) if name != 'background']
        assert (sum(found), len(found) - sum(found)) == (right, wrong)
    assert len(set(texts)) > 1 or recall in (0, 1) and precision in (0.75, 1)


def test_image_without_annotations():
    with pytest.raises(ValueError, match='a.png.*gt_seg_map'):
        NameClasses(CLASSES)(dict(img_path='a.png'))


def test_all_names_have_no_precision():
    with pytest.raises(ValueError, match='precision=0.5'):
        NameClasses(CLASSES, present_only=False, precision=0.5)
