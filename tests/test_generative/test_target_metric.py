import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.generative import ImageErrorMetric


def make_sample(pred, truth, **metainfo):
    fields = dict(pred_target=PixelData(data=torch.as_tensor(pred)), gt_target=PixelData(data=torch.as_tensor(truth)))
    return BaseDataElement(metainfo=metainfo, **fields)


def test_mean_of_images():
    metric = ImageErrorMetric(['l1', 'rmse'])
    samples = [
        make_sample(np.full((3, 2, size), 0.5), np.full((3, 2, size), truth)) for size, truth in [(3, 0.4), (9, 0)]
    ]
    metric.process({}, [sample.to_dict() for sample in samples])
    assert metric.evaluate(2) == pytest.approx(dict(l1=0.3, rmse=0.3))


def test_builds_and_runs_under_a_host():
    init_default_scope('mmseg')
    evaluator = Evaluator([dict(type='ImageErrorMetric', measures=['mse'], prefix='albedo')])
    evaluator.process([make_sample(np.zeros((3, 2, 4)), np.full((3, 2, 4), 0.5))])
    assert evaluator.evaluate(1) == pytest.approx({'albedo/mse': 0.25})


def test_normalised():
    truth = np.arange(6.0).reshape(1, 2, 3)
    metric = ImageErrorMetric(['l1'], normalise=True)
    metric.process({}, [make_sample(7 * truth + 3, truth).to_dict(), make_sample(np.ones((1, 2, 3)), truth).to_dict()])
    assert metric.evaluate(2)['l1'] == pytest.approx((0 + 0.5) / 2)


def test_truth_is_resized_by_area():
    truth = np.array([[[0.0, 1, 2, 3], [4, 5, 6, 7]]])
    metric = ImageErrorMetric(['l1'], resize_truth=True)
    metric.process({}, [make_sample([[[2.5, 5.5]]], truth).to_dict()])
    assert metric.evaluate(1)['l1'] == pytest.approx(0.5)


def test_another_size():
    sample = make_sample(np.zeros((3, 2, 4)), np.zeros((3, 4, 2)), img_path='a.png')
    with pytest.raises(ValueError, match=r'a.png.*\(3, 2, 4\).*\(3, 4, 2\)'):
        ImageErrorMetric().process({}, [sample.to_dict()])


@pytest.mark.parametrize('normalise', [False, True])
def test_prediction_that_is_not_finite(normalise):
    broken = np.zeros((1, 2, 4))
    broken[0, 1, 2] = np.nan
    metric = ImageErrorMetric(['l1', 'mse'], normalise=normalise)
    metric.process({}, [make_sample(pred, np.ones((1, 2, 4))).to_dict() for pred in (np.ones((1, 2, 4)), broken)])
    assert np.isnan(list(metric.evaluate(2).values())).all()


def test_unknown_measure():
    with pytest.raises(ValueError, match='ImageErrorMetric.*lpips'):
        ImageErrorMetric(['l1', 'lpips'])
