"""The example on the page of DMP is run, with untrained adapters in place of its own."""

import numpy as np
from mmengine.config import Config
from pages import ROOT, run_snippet

from mmdiffperc.registry import MODELS


def test_prediction_for_an_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    model = MODELS.build(Config.fromfile('projects/dmp/configs/dmp_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py').model)
    for name in ('lora_iter_200', 'lora_iter_600'):
        model.save_lora(tmp_path / name)
    normals = run_snippet('run: own target', **{'work_dirs/dmp_normals': tmp_path})['normals']
    assert normals.shape == (128, 128, 3) and normals.dtype == np.float32
    assert 0 <= normals.min() < normals.max() <= 1 and normals.std() > 0.01
