"""The measures of the official evaluation of VPD and MetaPrompts, of one map and of its whole validation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiffperc.evaluation.depth import MEASURES
from mmdiffperc.seg.depth.depth_metric import MonocularDepthMetric

from .detweights import make_depth_pair, make_image

RECORDED = json.loads((Path(__file__).parent / 'depth_metric' / 'values.json').read_text())
TOLERANCE = 1e-6
NINE = tuple(name for name in MEASURES if name not in ('irmse', 'kitti_silog'))  # which the official evaluation lacks
NYU = dict(max_depth_eval=10.0, crop_type='nyu_crop')
KITTI = dict(max_depth_eval=80.0, crop_type='garg_crop')


def evaluate(pairs, **arguments):
    metric = MonocularDepthMetric(min_depth_eval=1e-3, **arguments)
    for pred, gt in pairs:
        metric.process({}, [dict(pred_depth_map=dict(data=pred[None]), gt_depth_map=dict(data=gt[None]))])
    return metric.evaluate(len(pairs))


def assert_agrees(actual, recorded):
    assert {name: actual[name] for name in NINE} == pytest.approx(
        {name: recorded[name] for name in NINE}, rel=TOLERANCE, abs=0
    )


@pytest.mark.parametrize(
    ('name', 'shape', 'arguments'),
    [
        ('nyu', (480, 640), NYU),
        ('kitti_garg_crop', (352, 1216), KITTI),
        ('kitti_eigen_crop', (352, 1216), dict(KITTI, crop_type='eigen_crop')),
        ('other', (60, 80), dict(max_depth_eval=10.0)),
    ],
)
def test_one_map(name, shape, arguments):
    pair = make_depth_pair(name, shape, arguments['max_depth_eval'])
    assert_agrees(evaluate([pair], **arguments), RECORDED[f'depth/{name}'])


def test_prediction_that_is_not_finite():
    pred, gt = make_depth_pair('nyu_nonfinite', (480, 640), 10.0)
    pred[100:110, 100:200], pred[200:210, 100:200] = float('inf'), float('nan')
    gt[100:110, 100:200] = gt[200:210, 100:200] = 2.0
    assert_agrees(evaluate([(pred, gt)], **NYU), RECORDED['depth/nyu_nonfinite'])


def stand_in(images, max_depth):
    """The function that took the network's place in the recording: ``(B, 3, H, W)`` to ``(B, H, W)``."""
    rows, columns = (torch.arange(size) / size for size in images.shape[-2:])
    gradient = 0.2 * columns + 0.05 * rows[:, None]
    return 1 + max_depth * (0.25 * images.mean(1) + gradient) + 0.5 * images[:, 0]


def predict(image, max_depth, num_windows):
    """Mean of square windows and their mirror images; NaN where integer strides leave columns uncovered."""
    height, width = image.shape[-2:]
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for index in range(num_windows):
        columns = slice(start := index * ((width - height) // (num_windows - 1)), start + height)
        window = image[..., columns]
        mirrored = stand_in(window.flip(-1), max_depth).flip(-1)
        total[:, columns] += ((stand_in(window, max_depth) + mirrored) / 2)[0]
        count[:, columns] += 1
    return total / count


@pytest.mark.parametrize(
    ('name', 'shape', 'num_windows', 'arguments'),
    [('meta_nyu_shift2_flip', (480, 640), 2, NYU), ('meta_kitti_shift16_flip', (352, 1216), 16, KITTI)],
)
def test_validation_of_two_images(name, shape, num_windows, arguments):
    max_depth = arguments['max_depth_eval']
    pairs = []
    for index in range(2):
        image = make_image(f'{name}_img{index}', (1, 3, *shape), 0, 1)
        gt = make_depth_pair(f'{name}_gt{index}', (1, *shape), max_depth)[1][0]
        pairs.append((predict(image, max_depth, num_windows), gt))
    uncovered = np.flatnonzero(pairs[0][0].isnan().all(0))
    assert uncovered.tolist() == (list(range(1207, 1216)) if shape[1] == 1216 else [])
    assert_agrees(evaluate(pairs, **arguments), RECORDED[f'validate/{name}'])
