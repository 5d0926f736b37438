import numpy as np
import pytest
import torch

from mmdiffperc.generative import ColouredSegMetric

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
