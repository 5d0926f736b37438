"""The examples for detection on their page, the one for an image with a checkpoint of random weights."""

import numpy as np
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from pages import ROOT, run_snippet, snippet
from tiny_det import RETINANET, write_checkpoint

IMAGE = 'resources/scene.png'


def test_objects_in_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    checkpoint = write_checkpoint(str(RETINANET), tmp_path / 'detector.pth')
    scope = run_snippet('run: own detection', **{'work_dirs/retinanet/iter_1800.pth': checkpoint})
    found, inferencer = scope['found'], scope['inferencer']
    assert len(found['boxes']) == len(found['scores']) == len(found['labels']) > 0
    assert (found['boxes'] >= 0).all() and (found['boxes'] <= 128).all()
    assert inferencer.classes[8] == 'figure'

    of_mmdet = DetInferencer(scope['config'], checkpoint, device='cpu', show_progress=False)
    (same,) = of_mmdet(IMAGE)['predictions']
    np.testing.assert_allclose(same['bboxes'], found['boxes'], atol=1e-3)
    np.testing.assert_allclose(same['scores'], found['scores'], atol=1e-5)


def test_own_classes_build(tmp_path):
    file = tmp_path / 'own.py'
    file.write_text(snippet('config: own detection classes').replace('configs/', f'{ROOT}/configs/'))
    cfg = Config.fromfile(file)
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.backbone.prompts.classes == ('tram', 'tram stop') and model.bbox_head.num_classes == 2
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.metainfo.classes == ('tram', 'tram stop')
