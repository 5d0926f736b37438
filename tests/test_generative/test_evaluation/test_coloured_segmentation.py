import sys

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmdiffperc.generative import ColouredSegMetric
from mmdiffperc.generative.evaluation.coloured_segmentation import (
    BEDROOM_CLASSES,
    classes_to_colours,
    colours_to_classes,
    resolve_palette,
)
from mmdiffperc.toy_scenes.vocabulary import TOY_PALETTE


def test_there_and_back():
    palette = resolve_palette(TOY_PALETTE)
    labels = np.random.randint(len(palette), size=(7, 9))
    noisy = classes_to_colours(labels, palette).astype(int) + np.random.randint(-9, 10, size=(7, 9, 3))
    np.testing.assert_array_equal(colours_to_classes(noisy.clip(0, 255).astype(np.uint8), palette), labels)


def test_no_class_is_black():
    painted = classes_to_colours(np.array([[1, 255]]), resolve_palette([(9, 9, 9), (1, 2, 3)]))
    assert painted.dtype == np.uint8 and painted.tolist() == [[[1, 2, 3], [0, 0, 0]]]


def test_only_some_classes():
    palette = resolve_palette([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)])
    image = np.array([[(240, 0, 0), (0, 240, 0), (20, 10, 10)]], np.uint8)
    assert colours_to_classes(image, palette).tolist()[0][:2] == [0, 1]
    assert colours_to_classes(image, palette, classes=[0, 3]).tolist() == [[0, 3, 1]]  # 1 is the first that is black


def test_palettes_by_name():
    ade, bedroom = resolve_palette('ade20k'), resolve_palette('ade20k_bedroom')
    assert ade.shape == bedroom.shape == (150, 3)
    others = np.setdiff1d(np.arange(150), BEDROOM_CLASSES)
    assert len(others) == 150 - 29 and (ade[others] == bedroom[others]).all()
    assert bedroom[7].tolist() == [251, 128, 114]
    init_default_scope('mmseg')
    np.testing.assert_array_equal(resolve_palette('ADE20KDataset'), ade)


@pytest.mark.parametrize('name', ['nobody', 'wave'])
def test_unknown_palette(monkeypatch, name):
    monkeypatch.delitem(sys.modules, 'wave', raising=False)
    with pytest.raises(ValueError, match=f"palette='{name}'.*'ade20k', 'ade20k_bedroom'"):
        resolve_palette(name)
    assert 'wave' not in sys.modules


PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def painted(labels):
    return dict(data=torch.tensor(PALETTE)[torch.tensor(labels)].permute(2, 0, 1) * 0.9 / 255)


def test_measures():
    metric = ColouredSegMetric(PALETTE, per_class=True)
    truth = torch.tensor([[[0, 0, 1, 1, 255]]])
    metric.process({}, [dict(pred_target=painted([[0, 1, 1, 2, 3]]), gt_sem_seg=dict(data=truth))])
    metric.process({}, [dict(pred_target=painted([[0], [0]]), gt_target=painted([[0], [1]]))])
    found = metric.evaluate(2)
    assert found['aAcc'] == pytest.approx(100 * 3 / 6)
    assert found['mIoU'] == pytest.approx(100 * (2 / 4 + 1 / 4 + 0) / 3)
    assert found['mAcc'] == pytest.approx(100 * (2 / 3 + 1 / 3) / 2)
    assert found['IoU.1'] == pytest.approx(25) and np.isnan(found['IoU.3']) and np.isnan(found['Acc.2'])


@pytest.mark.parametrize(('ignore_black', 'accuracy'), [(True, 100), (False, 50)])
def test_black_can_be_ignored(ignore_black, accuracy):
    truth = torch.tensor([[PALETTE[3], (0, 0, 0)]]).permute(2, 0, 1) / 255
    metric = ColouredSegMetric(PALETTE, ignore_black=ignore_black)
    metric.process({}, [dict(pred_target=painted([[3, 1]]), gt_target=dict(data=truth))])
    assert metric.evaluate(1)['aAcc'] == accuracy


def test_other_size():
    sample = dict(pred_target=painted([[0, 1]]), gt_target=painted([[0]]), img_path='a.png')
    with pytest.raises(ValueError, match=r'a.png.*\(1, 2\).*\(1, 1\)'):
        ColouredSegMetric(PALETTE).process({}, [sample])


def test_true_classes_that_the_palette_lacks():
    truth = torch.tensor([[[4, 1, 255, 7]]])
    sample = dict(pred_target=painted([[0, 1, 1, 2]]), gt_sem_seg=dict(data=truth), img_path='a.png')
    with pytest.raises(ValueError, match=r'a\.png.*\b0\b.*\b3\b.*\[4, 7\]'):
        ColouredSegMetric(PALETTE).process({}, [sample])


def test_classes_that_the_palette_lacks():
    with pytest.raises(ValueError, match=r'classes \[4\].*\b0\b.*\b3\b'):
        ColouredSegMetric(PALETTE, classes=[0, 4])
