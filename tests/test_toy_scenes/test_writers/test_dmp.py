import io
import json
import sys

import cv2
import numpy as np
import pytest

from mmdiffperc.generative import ColouredSegMetric, DepthMapMetric, LoadTarget, NormalMapMetric
from mmdiffperc.generative.data.target_stores import LmdbTargets
from mmdiffperc.generative.data.target_transforms import to_channels_first
from mmdiffperc.toy_scenes import TOY_PALETTE
from mmdiffperc.toy_scenes.vocabulary import IGNORED
from mmdiffperc.toy_scenes.writers import DatasetSpec, make_sample, write_dataset


def target(root, split, kind, file_name):
    """One entry of an lmdb."""
    return LmdbTargets(root / 'dmp/targets' / split / kind).read(file_name)[0]


def rgb(value):
    return cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_targets_are_the_ground_truth(toy_root, toy_spec, split):
    lines = (toy_root / f'dmp/{split}/metadata.jsonl').read_text().splitlines()
    assert len(lines) == getattr(toy_spec, f'num_{split}')
    for index, line in enumerate(map(json.loads, lines)):
        sample = make_sample(toy_spec, split, index)
        truth, name = sample.rendering, line['file_name']
        assert name == sample.file_name and line['text'] == list(sample.captions)
        image = cv2.imread(str(toy_root / 'dmp' / split / name))[..., ::-1]
        assert (image == truth.image).all()
        normals = rgb(target(toy_root, split, 'normals', name)) / 127.5 - 1
        assert abs(normals - truth.normals).max() < 1 / 127.5
        assert (np.load(io.BytesIO(target(toy_root, split, 'depth', name)))['x'] == truth.depth).all()
        for kind in ('albedo', 'shading'):
            expected = getattr(truth, kind).clip(0, 1)
            assert abs(rgb(target(toy_root, split, kind, name)) / 255 - expected).max() <= 0.5 / 255 + 1e-6
        colours = rgb(target(toy_root, split, 'segmentation', name))
        assert (colours == np.array(TOY_PALETTE)[truth.semantic]).all()


def test_metrics_ignore_the_sky_and_the_scenery(tmp_path):
    """Predictions that are right elsewhere are perfect."""
    spec = DatasetSpec(1, 1, 48, seed=3, formats=('dmp_c',))
    write_dataset(tmp_path, spec)
    sample = make_sample(spec, 'val', 0, 'c')
    truth, name = sample.rendering, sample.file_name
    sky, ignored = truth.depth == 0, truth.semantic == IGNORED
    assert 0 < sky.sum() < ignored.sum()
    metrics = dict(
        normals=(NormalMapMetric(['mean']), sky, 3, 'mean'),
        depth=(DepthMapMetric(['rmse'], max_depth=10.0), sky | (truth.depth >= 10), 1, 'rmse'),
        segmentation=(ColouredSegMetric(TOY_PALETTE, ignore_black=True), ignored, 3, 'aAcc'),
    )
    for kind, (metric, uncounted, channels, measure) in metrics.items():
        load = LoadTarget('F' if channels == 1 else 'RGB')
        path = str(tmp_path / 'dmp_c/targets/val' / kind)
        target = load(dict(target_path=path, target_key=name, ori_shape=(48, 48)))['gt_target'].reshape(
            48, 48, channels
        )
        pred = np.where(uncounted[..., None], 0.9, target)
        maps = {
            key: dict(data=to_channels_first(value)) for key, value in (('pred_target', pred), ('gt_target', target))
        }
        metric.process({}, [maps])
        assert metric.evaluate(1)[measure] == (100 if measure == 'aAcc' else pytest.approx(0, abs=1e-4)), kind


def test_without_lmdb_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(ImportError, match=r'mmdiffperc\[dmp\]'):
        write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('dmp',)))
    write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('ade',)))
