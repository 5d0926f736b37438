import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.evaluation.depth import depth_measures
from mmdiffperc.generative import DepthMapMetric, ImageErrorMetric, NormalMapMetric


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


def test_errors():
    truth = torch.zeros(3, 12, 15)
    pred = truth.clone()
    pred[0] = 0.3
    found = ImageErrorMetric().measure(pred, truth)
    assert [found[name] for name in ('l1', 'mse', 'rmse')] == pytest.approx([0.1, 0.03, 0.03**0.5])
    assert found['psnr'] == pytest.approx(10 * np.log10(1 / 0.03))


def colours_at(*degrees):
    """Colours ``(3, 1, N)`` of normals turned away from z."""
    angles = torch.tensor(degrees).double().deg2rad()
    normals = torch.stack([angles.sin(), 0 * angles, angles.cos()])
    return (normals[:, None] + 1) / 2


def test_angles():
    found = NormalMapMetric().measure(colours_at(0, 10, 20, 30, 170), colours_at(0, 0, 0, 5, 0))
    assert found['mean'] == pytest.approx((0 + 10 + 20 + 25 + 170) / 5)
    assert found['median'] == pytest.approx(20)
    assert [found[name] for name in ('11.25', '22.5', '30')] == pytest.approx([0.4, 0.6, 0.8])


def test_colours_themselves():
    pred, truth = np.array([1.0, 0, 0]).reshape(3, 1, 1), np.array([1.0, 1, 0]).reshape(3, 1, 1)
    found = NormalMapMetric().measure(torch.tensor(pred), torch.tensor(truth))
    assert found['angular'] == pytest.approx(np.pi / 4)
    assert found['mean'] == pytest.approx(np.degrees(np.arccos(1 / 3)))
    assert found['l1'] == pytest.approx(1 / 3)


def test_unknown_truth_does_not_count():
    truth = colours_at(0, 0, 0)
    truth[:, 0, 1], truth[:, 0, 2] = np.nan, 0.5
    found = NormalMapMetric().measure(colours_at(7, 80, 90), truth)
    assert found['mean'] == pytest.approx(7) and found['11.25'] == 1 and found['l1'] < 0.03
    assert all(np.isnan(value) for value in NormalMapMetric().measure(truth, torch.full((3, 1, 3), np.nan)).values())


PRED = torch.tensor([[[1.0, 2, 3, 0, 5]]])
TRUTH = torch.tensor([[[1.0, 3, 2, 4, 9]]])


def test_measures_within_the_limits():
    truth = TRUTH.clone()
    truth[..., 0] = 0
    found = DepthMapMetric(max_depth=8.0).measure(PRED, truth)
    pred = np.array([2, 3, 1e-3])  # raised to the lower limit
    assert found == pytest.approx(
        dict(depth_measures(pred, np.array([3.0, 2, 4])), l1=(1 + 1 + 3.999) / 3, mse=(1 + 1 + 3.999**2) / 3)
        | dict(rmse=((1 + 1 + 3.999**2) / 3) ** 0.5)
    )


def test_normalised_depth():
    metric = DepthMapMetric(normalise=True)
    assert metric.measures == ('l1', 'mse', 'rmse')
    stretched = (PRED - PRED.min()) / 5
    assert metric.measure(stretched, (TRUTH - 1) / 8)['l1'] == pytest.approx((PRED / 5 - (TRUTH - 1) / 8).abs().mean())


def test_no_pixel_counts():
    assert all(np.isnan(value) for value in DepthMapMetric().measure(PRED, 0 * PRED).values())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(measures=['abs_rel'], normalise=True), r"normalise=True.*\['abs_rel'\]"),
        (dict(min_depth=2.0, max_depth=1.0), 'min_depth.*max_depth.*2.0.*1.0'),
        (dict(measures=['delta']), 'delta'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthMapMetric(**arguments)
