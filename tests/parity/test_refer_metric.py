"""The measures and the loss of the official evaluation and training of VPD's referring segmentation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdiffperc.evaluation.masks import THRESHOLDS
from mmdiffperc.seg.referring.refer_metric import ReferringSegMetric
from mmdiffperc.seg.referring.simple_decoding_head import SimpleDecodingHead

from .detweights import make_input, make_mask

FOLDER = Path(__file__).parent / 'refer_metric'
RECORDED = json.loads((FOLDER / 'values.json').read_text())


def test_measures():
    masks = {name: torch.from_numpy(values) for name, values in np.load(FOLDER / 'outputs.npz').items()}
    metric, recorded = ReferringSegMetric(), RECORDED['refer_evaluate']
    for pred, target in zip(masks['pred'], masks['target'], strict=True):
        metric.process({}, [dict(pred_sem_seg=dict(data=pred[None]), gt_sem_seg=dict(data=target[None]))])
    expected = dict(oIoU=recorded['oIoU'], mIoU=recorded['mIoU'])
    expected |= {f'precision@{x}': share for x, share in zip(THRESHOLDS, recorded['precision'], strict=True)}
    expected = {name: 100 * value for name, value in expected.items()}
    assert metric.evaluate(recorded['total']) == pytest.approx(expected, rel=1e-12)


def test_loss():
    loss = dict(type='CrossEntropyLoss', class_weight=[0.9, 1.1], avg_non_ignore=True)
    head = SimpleDecodingHead([3, 5], 4, loss_decode=loss)
    logits = torch.as_tensor(make_input('refer_ce_logits', (2, 2, 16, 16), 'unit'))
    targets = torch.as_tensor(make_mask('refer_ce_target', (2, 16, 16), 0.3)).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target[None])) for target in targets]
    assert head.loss_by_feat(logits, samples)['loss_ce'].item() == pytest.approx(RECORDED['refer_ce'], rel=1e-6)
