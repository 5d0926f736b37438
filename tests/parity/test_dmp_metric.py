"""The official evaluation of DMP."""

import json
from pathlib import Path

import evaluate_targets as evaluation_tool
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.generative import ColouredSegMetric, DepthMapMetric, ImageErrorMetric, NormalMapMetric
from mmdiffperc.generative.evaluation.coloured_segmentation import BEDROOM_CLASSES, colours_to_classes, resolve_palette
from mmdiffperc.inference.writers import encode_npz, encode_png

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
    assert_agrees(evaluate(NormalMapMetric(normalise=normalise), colours), name, dict(l1='l1', angular='angular'))


def test_ratios_of_colours(colours):
    """Many are exactly 1.25."""
    assert_agrees(evaluate(DepthMapMetric(min_depth=1e-12), colours), 'rgb/norm0', dict(abs_rel='rel', d1='delta'))


def test_truth_of_another_size():
    pairs = [(make_bytes(f'ev_sp{i}', (24, 24, 3)) / 255, make_bytes(f'ev_st{i}', (48, 48, 3)) / 255) for i in range(3)]
    found = evaluate(NormalMapMetric(resize_truth=True), pairs)
    assert_agrees(found, 'resize_square', dict(l1='l1', angular='angular'))


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


@pytest.fixture
def run_tool(tmp_path):
    """Write arrays of predictions and truths to files, as the official tools do, and evaluate them."""

    def run(pairs, *options):
        for folder, arrays in zip(('pred', 'truth'), zip(*pairs, strict=True), strict=True):
            (tmp_path / folder).mkdir()
            for index, array in enumerate(arrays):
                suffix, encode = ('npz', lambda x: encode_npz(x=x)) if array.dtype.kind == 'f' else ('png', encode_png)
                (tmp_path / folder / f'{index}.{suffix}').write_bytes(encode(array))
        folders = [str(tmp_path / folder) for folder in ('pred', 'truth')]
        assert evaluation_tool.main([*folders, *options, '--per-image', '--out-file', str(tmp_path / 'out.json')]) == 0
        return json.loads((tmp_path / 'out.json').read_text())

    return run


def colours_of_8_bits():
    shape = 24, 32, 3
    return [(make_bytes(f'ev_p{i}', shape), make_bytes(f'ev_t{i}', shape).clip(1)) for i in range(RECORDED_IMAGES)]


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('rgb/norm0', []),
        ('rgb/norm1', ['--norm']),
        ('abs/norm0', ['--abs']),
        ('abs/norm1', ['--abs', '--norm']),
        ('resize_square', []),
        ('u16', []),
    ],
)
def test_tool(run_tool, name, options):
    """All metrics and options of the official script, for each image too."""
    if name.startswith('abs'):
        pairs = [make_depth_pair(f'ev_d{i}', (24, 32), 8, invalid=0) for i in range(RECORDED_IMAGES)]
        pairs = [tuple(np.asarray(each) for each in pair) for pair in pairs]
    elif name == 'resize_square':
        pairs = [(make_bytes(f'ev_sp{i}', (24, 24, 3)), make_bytes(f'ev_st{i}', (48, 48, 3))) for i in range(3)]
    else:
        pairs = colours_of_8_bits()
    if name == 'u16':
        grey = [(make_input(f'ev_u16{i}', (24, 32), '01').numpy() * 65535).astype(np.uint16) for i in range(3)]
        pairs = [(pred, truth) for pred, (_, truth) in zip(grey, pairs, strict=True)]
    recorded = RECORDED['dmp_eval'][name]
    found = run_tool(pairs, '--metrics', *recorded['mean'], *options)
    assert found['metrics'] == pytest.approx(recorded['mean'], rel=TOLERANCE, abs=0)
    per_image = [list(values.values()) for values in found['per_image'].values()]
    order = [list(found['metrics']).index(metric) for metric in recorded['mean']]
    assert [[values[i] for i in order] for values in per_image] == [
        pytest.approx(values, rel=TOLERANCE, abs=0) for values in recorded['per_image']
    ]


def label(name, num):
    return (make_input(name, (20, 30), '01').numpy() * num).astype(np.uint8)


def labels_of_images():
    for i in range(RECORDED_IMAGES):
        truth, other = label(f'mi_t{i}', 6), label(f'mi_p{i}', 6)
        pred = np.where(make_mask(f'mi_k{i}', (20, 30), 0.6), truth, other)
        yield pred, np.where(make_mask(f'mi_i{i}', (20, 30), 0.1), np.uint8(255), truth)


def assert_miou_agrees(found, reduce_zero):
    recorded = RECORDED[f'dmp_miou/reduce_zero{reduce_zero:d}']
    assert found['aAcc'] == pytest.approx(100 * recorded['aAcc'], rel=TOLERANCE)
    for index in range(6):
        for name in ('IoU', 'Acc'):
            value, expected = found[f'{name}.{index}'], 100 * recorded[name][index]
            assert (np.nan if value is None else value) == pytest.approx(expected, rel=TOLERANCE, nan_ok=True)


@pytest.mark.parametrize('reduce_zero', [False, True])
def test_miou(reduce_zero):
    palette = [(40 * index, 0, 255 - 40 * index) for index in range(6)]
    metric = ColouredSegMetric(palette, per_class=True)
    for pred, truth in labels_of_images():
        if reduce_zero:
            truth = np.where((truth == 0) | (truth == 255), 255, truth - 1)
        painted = torch.tensor(palette)[torch.as_tensor(pred).long()].permute(2, 0, 1) / 255
        truth = torch.as_tensor(truth).long()[None]
        metric.process({}, [dict(pred_target=dict(data=painted), gt_sem_seg=dict(data=truth))])
    assert_miou_agrees(metric.evaluate(RECORDED_IMAGES), reduce_zero)


@pytest.mark.parametrize('reduce_zero', [False, True])
def test_miou_of_the_tool(run_tool, reduce_zero):
    options = ['--metrics', 'miou', '--num-classes', '6'] + ['--reduce-zero'] * reduce_zero
    assert_miou_agrees(run_tool(list(labels_of_images()), *options)['metrics'], reduce_zero)
