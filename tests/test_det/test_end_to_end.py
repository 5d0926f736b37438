"""Detection from training to test through the scripts of mim.

``mim test mmdet`` needs full mmcv, unless this package has been imported before, as here. The page names mmseg's.
"""

import json
import pickle
import runpy
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from child_processes import OPENMMLAB, exit_code, forget, fork
from host_scripts import read_log, run, train
from mmengine.config import Config
from tiny_det import MASK_RCNN, NUM_CLASSES, RETINANET, write_config

from mmdiffperc.compat.checkpoint import load_file

SCRIPT = Path(mmseg.__file__).parent / '.mim' / 'tools' / 'test.py'
ITERATIONS = 3
BOXES, MASKS = {'coco/bbox_mAP', 'coco/bbox_mAP_50'}, {'coco/segm_mAP', 'coco/segm_mAP_50'}
METRICS = {RETINANET: BOXES, MASK_RCNN: BOXES | MASKS}
LOSSES = {
    RETINANET: {'loss_cls', 'loss_bbox'},
    MASK_RCNN: {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'},
}


@pytest.fixture(scope='module', params=LOSSES, ids=['RetinaNet', 'Mask R-CNN'])
def trained(request, tmp_path_factory):
    """Which toy config, the config at tiny width, and the folder of its training."""
    folder = tmp_path_factory.mktemp('detection')
    config = write_config(request.param, folder)
    train('mmdet', config, folder / 'work', ITERATIONS)
    return request.param, config, folder / 'work'


def test_training_is_logged(trained):
    toy, _, work_dir = trained
    *training, validation = read_log(work_dir)
    assert [line['step'] for line in training] == [1, 2, 3]
    for line in training:
        assert LOSSES[toy] < set(line) and np.isfinite(line['loss'])
        assert line['loss'] == pytest.approx(sum(line[loss] for loss in LOSSES[toy]), rel=1e-4)
    assert METRICS[toy] < set(validation)


def test_checkpoint_is_finite_and_knows_the_classes(trained):
    toy, _, work_dir = trained
    checkpoint = load_file(work_dir / f'iter_{ITERATIONS}.pth')
    assert all(torch.isfinite(value).all() for value in checkpoint['state_dict'].values())
    assert checkpoint['meta']['dataset_meta']['classes'] == Config.fromfile(toy).metainfo.classes
    assert len(checkpoint['state_dict']['backbone.prompts.embeddings']) == NUM_CLASSES


def assert_equal_metrics(test_dir, train_dir, names):
    """Those of a test are those of the validation at the end of the training."""
    tested, validated = json.loads(next(test_dir.glob('*/*.json')).read_text()), read_log(train_dir)[-1]
    assert all(tested[name] == pytest.approx(validated[name], abs=1e-5) for name in names)


def test_checkpoint_is_tested(trained, tmp_path):
    """To the same result; every image gets boxes, inside of it, best first."""
    toy, config, work_dir = trained
    checkpoint, predictions = work_dir / f'iter_{ITERATIONS}.pth', tmp_path / 'found.pkl'
    run('mmdet', 'test.py', config, checkpoint, '--work-dir', tmp_path, '--out', predictions)
    assert_equal_metrics(tmp_path, work_dir, METRICS[toy])
    images = [image['pred_instances'] for image in pickle.loads(predictions.read_bytes())]
    assert len(images) == 5
    for found in images:
        boxes = found['bboxes']
        assert len(boxes) > 0 and (boxes >= 0).all() and (boxes <= torch.tensor([96, 64, 96, 64])).all()
        assert (found['scores'].diff() <= 0).all() and found['labels'].max() < NUM_CLASSES
        assert ('masks' in found) == (toy == MASK_RCNN)


@pytest.mark.parametrize('trained', [MASK_RCNN], indirect=True, ids=['Mask R-CNN'])
def test_checkpoint_is_tested_as_the_page_says(trained, tmp_path):
    """In another process, where nothing but the config imports this package.

    Of the two detectors, Mask R-CNN needs more of mmcv.
    """
    toy, config, work_dir = trained

    def test_anew() -> int:
        forget(*OPENMMLAB)
        sys.argv = ['test.py', config, str(work_dir / f'iter_{ITERATIONS}.pth'), '--work-dir', str(tmp_path)]
        runpy.run_path(str(SCRIPT), run_name='__main__')
        return 0

    assert exit_code(fork(test_anew)) == 0
    assert_equal_metrics(tmp_path, work_dir, METRICS[toy])
