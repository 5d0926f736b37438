import io
import json
import sys

import cv2
import numpy as np
import pytest

from mmdiffperc.generative.target_stores import LmdbTargets
from mmdiffperc.toy_scenes import TOY_PALETTE
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


def test_without_lmdb_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(ImportError, match=r'mmdiffperc\[dmp\]'):
        write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('dmp',)))
    write_dataset(tmp_path / 'out', DatasetSpec(1, 1, 32, formats=('ade',)))
