import json

import numpy as np
import pytest
import torch
from logs import heard
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
def test_prediction_that_is_not_finite(normalise, caplog):
    broken = np.zeros((1, 2, 4))
    broken[0, 1, 2] = np.nan
    metric = ImageErrorMetric(['l1', 'mse'], normalise=normalise)
    for name, pred in (('whole.png', np.ones((1, 2, 4))), ('broken.png', broken)):
        metric.process({}, [make_sample(pred, np.ones((1, 2, 4)), img_path=name).to_dict()])
    with heard(caplog):
        assert np.isnan(list(metric.evaluate(2).values())).all()
    assert 'broken.png' in caplog.text and 'whole.png' not in caplog.text


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
    assert NormalMapMetric().measure(truth, torch.full((3, 1, 3), np.nan)) is None


def test_vectors():
    samples = [
        make_sample(2 * colours_at(*pred) - 1, 2 * colours_at(*[0] * len(pred)) - 1) for pred in ([4], [6, 8, 40])
    ]
    names = ['mean', 'pooled_mean', 'pooled_median', '5', 'pooled_5', 'l1']
    metric = NormalMapMetric(names, vectors=True)
    metric.process({}, [sample.to_dict() for sample in samples])
    l1 = [float((colours_at(*pred) - colours_at(0)).abs().mean()) for pred in ([4], [6, 8, 40])]
    expected = [(4 + 18) / 2, 58 / 4, 7, (1 + 0) / 2, 1 / 4, np.mean(l1)]
    found = metric.evaluate(2)
    assert list(found) == names
    assert found == pytest.approx(dict(zip(names, expected, strict=True)), abs=0.0101)
    with pytest.raises(ValueError, match='vectors=True'):
        NormalMapMetric().process({}, [make_sample(-colours_at(0, 3), -colours_at(0, 0)).to_dict()])


def test_masked_pixels_do_not_count():
    """Only the first of three pixels has a finite truth and is valid."""
    truth = torch.tensor([[[2.0, 3.0, np.inf]]])
    sample = make_sample(torch.tensor([[[2.5, 9.0, 9.0]]]), truth)
    sample.gt_valid = PixelData(data=torch.tensor([[[True, False, True]]]))
    metric = DepthMapMetric(['l1', 'rmse'])
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1) == pytest.approx(dict(l1=0.5, rmse=0.5))
    sample.pred_target.data = torch.tensor([[[0.25, 5.0, -5.0]]])
    for metric in (ImageErrorMetric(['l1']), ImageErrorMetric(['l1', 'psnr'])):
        metric.process({}, [sample.to_dict()])
        assert metric.evaluate(1)['l1'] == pytest.approx(1.75)


def test_normalised_without_masked_pixels():
    sample = make_sample(torch.tensor([[[1.0, 3.0, 99.0, 2.0]]]), torch.tensor([[[4.0, 8.0, -50.0, 7.0]]]))
    sample.gt_valid = PixelData(data=torch.tensor([[[True, True, False, True]]]))
    metric = DepthMapMetric(['l1'], normalise=True)
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)['l1'] == pytest.approx((0 + 0 + 0.25) / 3)


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
    assert DepthMapMetric().measure(PRED, 0 * PRED) is None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(measures=['abs_rel'], normalise=True), r"normalise=True.*\['abs_rel'\]"),
        (dict(min_depth=2.0, max_depth=1.0), 'min_depth.*max_depth.*2.0.*1.0'),
        (dict(measures=['delta']), 'delta'),
        (dict(normalise=True, align='median'), "normalise=True.*align='median'"),
        (dict(align='lsq'), "align='lsq'"),
        (dict(per_image_file='images'), r"per_image_file='images'.*\.csv"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthMapMetric(**arguments)


@pytest.mark.parametrize('align', ['least_squares', 'robust_disparity'])
def test_alignment(align, tmp_path):
    """The second prediction is constant; the third depth is never compared."""
    table = tmp_path / 'images.json'
    truth = torch.tensor([[[2.0, 4.0, 90.0, 5.0], [1.0, 3.0, 8.0, 2.5]]])
    relative = (1 / truth if 'disparity' in align else truth) * 0.25 + 0.5
    relative[..., 2] = 77.0
    samples = [make_sample(relative, truth, img_path='1.png'), make_sample(0 * truth + 1, truth, img_path='2.png')]
    metric = DepthMapMetric(['rmse', 'd1', 'l1'], max_depth=6.0, align=align, per_image_file=str(table))
    metric.process({}, [sample.to_dict() for sample in samples])
    assert metric.evaluate(2) == pytest.approx(dict(rmse=0, d1=1, l1=0), abs=1e-4)
    rows = json.loads(table.read_text())
    assert [row['image'] for row in rows] == ['1.png', '2.png'] and 'constant' in rows[1]['excluded']
    assert list(rows[0]) == ['image', 'rmse', 'd1', 'l1', 'excluded']


@pytest.mark.parametrize(('truth', 'errors'), [([1.0, 1, 4], [0.25, 1, 0.5]), ([1.0, 4, 4], [0.5, 1, 0.25])])
def test_aligned_depth_is_clamped(truth, errors):
    """The best lines are 0.5, 2, 3.5 and 1.5, 3, 4.5; the limits raise 0.5 and lower 4.5."""
    metric = DepthMapMetric(min_depth=0.75, max_depth=4.25, align='least_squares')
    found = metric.measure(torch.tensor([[[0.0, 1, 2]]]), torch.tensor([[truth]]))
    assert found['l1'] == pytest.approx(np.mean(errors))


def test_crop():
    pred, truth = torch.full((1, 20, 30), 5.0), torch.full((1, 20, 30), 2.0)
    pred[:, 8:19, 1:28] = 2.0  # Garg's crop
    assert DepthMapMetric(crop_type='garg_crop').measure(pred, truth)['rmse'] == 0
