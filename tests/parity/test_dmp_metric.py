"""The official evaluation of DMP."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.generative import ColouredSegMetric, DepthMapMetric, ImageErrorMetric, NormalMapMetric
from mmdiffperc.generative.coloured_segmentation import BEDROOM_CLASSES, colours_to_classes, resolve_palette

from .detweights import make_depth_pair, make_input, make_mask

FOLDER = Path(__file__).parent / 'dmp_metric'
RECORDED = json.loads((FOLDER / 'values.json').read_text())
TOLERANCE = 1e-6
RECORDED_IMAGES = 3


def evaluate(metric, pairs):
    """Of arrays ``(H, W, C)`` or ``(H, W)``, as they are loaded."""
    for pred, truth in pairs:
        maps = [torch.as_tensor(x).reshape(*x.shape[:2], -1).permute(2, 0, 1) for x in (pred, truth)]
        sample = BaseDataElement(pred_target=PixelData(data=maps[0]), gt_target=PixelData(data=maps[1]))
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(pairs))


def make_bytes(name, shape):
    return (make_input(name, shape, '01').numpy() * 255).astype(np.uint8)


def assert_agrees(actual, name, renamed):
    recorded = RECORDED['dmp_eval'][name]['mean']
    expected = {ours: recorded[theirs] for ours, theirs in renamed.items() if theirs in recorded}
    assert {ours: actual[ours] for ours in expected} == pytest.approx(expected, rel=TOLERANCE, abs=0)


ERRORS = dict(l1='l1', mse='mse', rmse='rmse')


@pytest.fixture(scope='module')
def colours():
    names = [(f'ev_p{i}', f'ev_t{i}') for i in range(3)]
    shape = 24, 32, 3
    return [(make_bytes(pred, shape) / 255, make_bytes(true, shape).clip(1) / 255) for pred, true in names]


@pytest.mark.parametrize('normalise', [False, True])
def test_colours(colours, normalise):
    name = f'rgb/norm{normalise:d}'
    assert_agrees(evaluate(ImageErrorMetric(normalise=normalise), colours), name, ERRORS)
    normals = evaluate(NormalMapMetric(normalise=normalise, of_colours=True), colours)
    assert_agrees(dict(normals, mean=math.radians(normals['mean'])), name, dict(l1='l1', mean='angular'))


def test_truth_of_another_size():
    pairs = [(make_bytes(f'ev_sp{i}', (24, 24, 3)) / 255, make_bytes(f'ev_st{i}', (48, 48, 3)) / 255) for i in range(3)]
    normals = evaluate(NormalMapMetric(resize_truth=True, of_colours=True), pairs)
    assert_agrees(dict(normals, mean=math.radians(normals['mean'])), 'resize_square', dict(l1='l1', mean='angular'))


@pytest.mark.parametrize('normalise', [False, True])
def test_depth(normalise):
    pairs = [make_depth_pair(f'ev_d{i}', (24, 32), 8, invalid=0) for i in range(3)]
    renamed = dict(ERRORS) if normalise else dict(ERRORS, abs_rel='rel', d1='delta')
    assert_agrees(evaluate(DepthMapMetric(normalise=normalise), pairs), f'abs/norm{normalise:d}', renamed)


@pytest.mark.parametrize('palette', ['ade20k', 'ade20k_bedroom'])
@pytest.mark.parametrize('classes', [None, BEDROOM_CLASSES])
def test_colours_to_classes(palette, classes):
    image = make_bytes('c2c', (512, 512, 3))[::4, ::4, ::-1]  # recorded in BGR
    found = colours_to_classes(image, resolve_palette(palette), classes)
    name = f'color2cls/pal{1 if palette == "ade20k" else 2}_filter{classes is not None:d}'
    np.testing.assert_array_equal(found, np.load(FOLDER / 'outputs.npz')[name])


def label(name, num):
    return (make_input(name, (20, 30), '01').numpy() * num).astype(np.uint8)


@pytest.mark.parametrize('reduce_zero', [False, True])
def test_miou(reduce_zero):
    palette = [(40 * index, 0, 255 - 40 * index) for index in range(6)]
    metric = ColouredSegMetric(palette, per_class=True)
    recorded = RECORDED[f'dmp_miou/reduce_zero{reduce_zero:d}']
    for i in range(RECORDED_IMAGES):
        truth, other = label(f'mi_t{i}', 6), label(f'mi_p{i}', 6)
        pred = np.where(make_mask(f'mi_k{i}', (20, 30), 0.6), truth, other)
        truth = np.where(make_mask(f'mi_i{i}', (20, 30), 0.1), 255, truth)
        if reduce_zero:
            truth = np.where((truth == 0) | (truth == 255), 255, truth - 1)
        painted = torch.tensor(palette)[torch.as_tensor(pred).long()].permute(2, 0, 1) / 255
        truth = torch.as_tensor(truth).long()[None]
        metric.process({}, [dict(pred_target=dict(data=painted), gt_sem_seg=dict(data=truth))])
    found = metric.evaluate(RECORDED_IMAGES)
    assert found['aAcc'] == pytest.approx(100 * recorded['aAcc'], rel=TOLERANCE)
    for index in range(6):
        for name in ('IoU', 'Acc'):
            expected = 100 * recorded[name][index]
            assert found[f'{name}.{index}'] == pytest.approx(expected, rel=TOLERANCE, nan_ok=True)
