import csv
import re

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from logs import heard
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdiffperc.evaluation.alignment import ALIGNMENTS
from mmdiffperc.evaluation.depth import MEASURES
from mmdiffperc.seg.depth.depth_metric import MonocularDepthMetric


def sample(pred, gt=None, **meta):
    """Depth maps as a segmentor of mmseg returns them and its pipeline packs them."""
    data = SegDataSample(metainfo=dict(img_path='folder/a.b.png', **meta))
    data.pred_depth_map = PixelData(data=torch.as_tensor(pred, dtype=torch.float32)[None])
    if gt is not None:
        data.gt_depth_map = PixelData(data=torch.as_tensor(gt, dtype=torch.float32)[None])
    return data


def evaluate(samples, **arguments):
    init_default_scope('mmseg')
    evaluator = Evaluator([dict(type='MonocularDepthMetric', **arguments)])
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_mean_over_images_not_pixels():
    """One pixel is wrong by 1 m, three are right."""
    images = [sample([[3.0]], [[2.0]]), sample([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])]
    results = evaluate(images)
    assert tuple(results) == MEASURES
    assert results['rmse'] == pytest.approx(0.5)
    assert results['abs_rel'] == pytest.approx(0.25)
    assert results['d1'] == pytest.approx(0.5)


def test_chosen_measures_and_prefix():
    results = evaluate([sample([[3.0]], [[2.0]])], depth_metrics=['rmse', 'd3'], prefix='kitti')
    assert results == pytest.approx({'kitti/rmse': 1.0, 'kitti/d3': 1.0})
    assert list(results) == ['kitti/rmse', 'kitti/d3']


def test_limits_are_excluded():
    """Of the true depths only 2 and 3 lie between 1 and 4."""
    gt = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    results = evaluate([sample(np.full((2, 3), 3.0), gt)], min_depth_eval=1.0, max_depth_eval=4.0)
    assert results['rmse'] == pytest.approx(np.sqrt(0.5))


def test_not_finite_and_clamped_predictions():
    pred, gt = [[float('inf'), float('-inf'), float('nan'), 9.0]], [[2.0, 2.0, 2.0, 2.0]]
    limits = dict(min_depth_eval=1.0, max_depth_eval=4.0, depth_metrics=['rmse'])
    assert evaluate([sample(pred, gt)], **limits)['rmse'] == pytest.approx(np.sqrt((4 + 4 + 1 + 49) / 4))
    assert evaluate([sample(pred, gt)], clamp=True, **limits)['rmse'] == pytest.approx(np.sqrt((4 + 4 + 1 + 4) / 4))


def test_crop():
    """Wrong outside of Garg's crop, rows 8 to 18 and columns 1 to 28 of 20 x 30, right inside."""
    pred = np.full((20, 30), 5.0)
    pred[8:19, 1:28] = 2.0
    results = evaluate([sample(pred, np.full((20, 30), 2.0))], crop_type='garg_crop')
    assert results['rmse'] == 0
    assert evaluate([sample(pred, np.full((20, 30), 2.0))])['rmse'] > 1


@pytest.mark.parametrize('align', ALIGNMENTS)
def test_alignment(align):
    gt = np.linspace(1, 6, 12).reshape(3, 4)
    pred = 0.3 * (1 / gt if align.endswith('disparity') else gt) + (0 if align == 'median' else 0.7)
    pred[0, 0], gt[0, 0] = 1e6, 0  # not measured, so it must not count in the fit
    assert evaluate([sample(pred, gt)], align=align)['rmse'] == pytest.approx(0, abs=1e-5)
    assert evaluate([sample(pred, gt)])['rmse'] > 0.1


def test_aligned_predictions_are_clamped():
    """The fitted line is below zero, where there is no logarithm, at the first pixel."""
    pred, gt = [[-10.0, 2.0, 3.0, 4.0, 5.0]], [[0.1, 0.2, 3.0, 6.0, 9.0]]
    results = evaluate([sample(pred, gt)], align='least_squares', depth_metrics=['rmse_log', 'rmse'])
    slope, intercept = np.polyfit(pred[0], gt[0], 1)
    fitted = slope * np.array(pred[0]) + intercept
    assert fitted.min() < 0
    assert results['rmse'] == pytest.approx(np.sqrt(np.mean((fitted.clip(1e-3, 10) - gt[0]) ** 2)), rel=1e-5)
    assert np.isfinite(results['rmse_log'])


def test_image_without_depth_is_left_out(caplog):
    images = [sample([[3.0]], [[2.0]]), sample([[3.0]], [[0.0]]), sample([[3.0]], [[50.0]])]
    with heard(caplog):
        assert evaluate(images)['rmse'] == pytest.approx(1.0)
        assert re.search(r'\b2\b.*\b3\b.*0\.001.*10\.0.*None', caplog.text)
        caplog.clear()
        assert np.isnan(evaluate(images[1:])['rmse'])
        assert re.search(r'\b2\b.*\b2\b.*0\.001', caplog.text)


def test_measure_that_is_not_finite_is_named(caplog):
    images = [sample([[3.0, 2.0]], [[2.0, 2.0]]), sample([[0.0, 2.0]], [[2.0, 2.0]])]
    with heard(caplog):
        assert evaluate(images, depth_metrics=['rmse']) == pytest.approx(dict(rmse=(np.sqrt(0.5) + np.sqrt(2)) / 2))
        assert 'a.b.png' not in caplog.text
        assert np.isinf(evaluate(images)['rmse_log'])
        assert 'a.b.png: rmse_log, log10, silog' in caplog.text
        caplog.clear()
        assert np.isfinite(list(evaluate(images, clamp=True).values())).all()
        assert 'a.b.png' not in caplog.text


def test_predictions_that_cannot_be_aligned_are_left_out(caplog, tmp_path):
    table = tmp_path / 'images.csv'
    gt = [[1.0, 2.0, 3.0, 0.0]]
    images = [sample([pred], gt, sample_name='x') for pred in ([2.0, 4, 6, 0], [5.0, 5, 5, 0], [1.0, 3, 2, 0])]
    images += [sample([[1.0, 2, 3, 4]], [[1.0, 0, 0, 0]]), sample([[1.0, 2, 3, 4]], [[0.0, 0, 0, 50]])]
    with heard(caplog):
        found = evaluate(images, align='least_squares', depth_metrics=['rmse', 'abs_rel'], per_image_file=str(table))
    expected = np.linalg.lstsq(np.array([[1, 1], [3, 1], [2, 1.0]]), np.array([1, 2, 3.0]), rcond=None)[1] / 3
    assert found['rmse'] == pytest.approx((0 + expected[0] ** 0.5) / 2)
    for number, reason in ((1, 'constant'), (1, r'two.*\b1\b'), (1, r'0\.001 and 10\.0.*None')):
        assert re.search(rf'\b{number} of 5\b.*{reason}.*a\.b\.png', caplog.text)
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0]) == ['image', 'rmse', 'abs_rel', 'excluded'] and len(rows) == 5
    assert rows[0]['image'] == 'folder/a.b.png' and float(rows[2]['abs_rel']) == pytest.approx(
        (1 / 2 + 1 / 4 + 1 / 3) / 3
    )
    assert [bool(row['excluded']) for row in rows] == [False, True, False, True, True] and rows[1]['rmse'] == ''


@pytest.mark.parametrize('pred', [[[0.0, 0.0, 2.0]], [[-1.0, -3.0, 2.0]]])
def test_prediction_that_no_scale_aligns(pred, caplog):
    with heard(caplog):
        assert np.isnan(evaluate([sample(pred, [[1.0, 2.0, 3.0]])], align='median')['rmse'])
    assert re.search(r'1 of 1.*median.*a\.b\.png', caplog.text)


def test_size_that_differs():
    with pytest.raises(ValueError, match=r'a\.b\.png.*2 x 3.*3 x 2 \(height x width\)'):
        evaluate([sample(np.ones((2, 3)), np.ones((3, 2)))])


def test_nothing_is_written_outside_of_the_folder(tmp_path):
    with pytest.raises(ValueError, match=r"sample_name.*'\.\./0001'"):
        evaluate([sample([[1.0]], sample_name='../0001')], format_only=True, output_dir=str(tmp_path / 'out'))
    assert not list(tmp_path.rglob('*.png'))


def test_predictions_are_written_without_truth(tmp_path):
    folder = tmp_path / 'out'
    images = [sample([[1.5, float('nan'), 20.0]]), sample([[1.0]], sample_name='drive_0001')]
    assert evaluate(images, format_only=True, output_dir=str(folder), depth_scale_factor=4000) == {}
    written = cv2.imread(str(folder / 'a.b.png'), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert written.tolist() == [[6000, 4, 65535]]
    assert sorted(path.name for path in folder.iterdir()) == ['a.b.png', 'drive_0001.png']


def test_predictions_are_written_beside_the_results(tmp_path):
    assert evaluate([sample([[3.0]], [[2.0]])], output_dir=str(tmp_path))['rmse'] == pytest.approx(1.0)
    assert cv2.imread(str(tmp_path / 'a.b.png'), cv2.IMREAD_UNCHANGED).tolist() == [[3000]]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            dict(depth_metrics=['rmse', 'mae']),
            r"depth_metrics=\['rmse', 'mae'\].*d1.*silog",
        ),
        (dict(depth_metrics=[]), r'depth_metrics=\[\].*d1'),
        (dict(depth_metrics='rmse'), "depth_metrics='rmse'.*d1"),
        (dict(crop_type='garg'), "crop_type='garg'.*'nyu_crop', 'garg_crop'.*'eigen_crop'"),
        (dict(align='lsq'), "align='lsq'.*'median'.*'least_squares'"),
        (dict(max_align_size=0), 'max_align_size=0'),
        (dict(per_image_file='images.txt'), r"per_image_file='images.txt'.*\.csv.*\.json"),
        (dict(depth_scale_factor=0), 'depth_scale_factor=0'),
        (dict(min_depth_eval=5, max_depth_eval=5), '5.*5'),
        (dict(format_only=True), 'output_dir'),
        (dict(max_depth_eval=80, output_dir='out'), r'\b80\b.*depth_scale_factor 1000.*16 bits'),
    ],
)
def test_bad_configuration(arguments, message):
    with pytest.raises(ValueError, match=message):
        MonocularDepthMetric(**arguments)


def evaluate_three_on_two_processes(rank, folder):
    """The sampler gives one process images 0 and 2, and the other 1 and again 0, so that both have two."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    images = [sample([[2.0 + error]], [[2.0]]).to_dict() for error in ((0.0, 3.0), (1.5, 0.0))[rank]]
    metric = MonocularDepthMetric(depth_metrics=['rmse'])
    metric.process({}, images)
    (folder / str(rank)).write_text(str(metric.evaluate(3)['rmse']))
    dist.destroy_process_group()


def test_mean_over_the_images_of_two_processes(tmp_path):
    mp.start_processes(evaluate_three_on_two_processes, (tmp_path,), nprocs=2, start_method='fork')
    for rank in '01':
        assert float((tmp_path / rank).read_text()) == pytest.approx((0 + 1.5 + 3) / 3)
