import json

import cv2
import numpy as np
import pycocotools.mask
import pytest
import tiny_det
from mmdet.apis import inference_detector, init_detector
from mmengine.hub import get_config

from mmdiffperc.det import DetectionInferencer
from mmdiffperc.inference import build_inferencer


@pytest.fixture(scope='module', params=[tiny_det.RETINANET, tiny_det.MASK_RCNN], ids=['RetinaNet', 'Mask R-CNN'])
def files(request, tmp_path_factory):
    """A config and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('detection')
    config = tiny_det.write_config(request.param, folder)
    return config, tiny_det.write_checkpoint(config, folder / 'detector.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return build_inferencer(*files, device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def images():
    """Two of one size, and another."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in ((64, 96), (96, 60), (64, 96))]


@pytest.fixture(scope='module')
def predictions(inferencer, images):
    return inferencer(images, batch_size=3)['predictions']


def test_objects_are_those_of_the_host(files, inferencer, images, predictions):
    assert isinstance(inferencer, DetectionInferencer)
    assert {control.name for control in inferencer.controls} == {'threshold'} <= inferencer.call_options()
    model = init_detector(*files, device='cpu')
    for image, prediction in zip(images, predictions, strict=True):
        expected = inference_detector(model, image).pred_instances
        assert ('masks' in prediction) == ('masks' in expected) and len(prediction['scores']) > 1
        np.testing.assert_allclose(prediction['scores'], expected.scores, atol=1e-5)
        np.testing.assert_allclose(prediction['boxes'], expected.bboxes, atol=1e-2)
        if 'masks' in expected:
            assert prediction['masks'].shape[1:] == image.shape[:2]


def test_files(inferencer, images, predictions, tmp_path):
    cv2.imwrite(str(tmp_path / 'scene.png'), images[0])
    (picture,) = inferencer(tmp_path / 'scene.png', out_dir=tmp_path, return_vis=True, threshold=2)['visualization']
    np.testing.assert_array_equal(picture, images[0][..., ::-1])  # no score is as high
    drawn = inferencer.draw(images[0], predictions[0], threshold=-1)
    assert drawn.shape == picture.shape and (drawn != picture).any()
    objects = json.loads((tmp_path / 'scene_objects.json').read_text())['objects']
    assert len(objects) == len(predictions[0]['scores'])
    for number in (0, len(objects) - 1):
        one, label = objects[number], int(predictions[0]['labels'][number])
        assert one['label'] == label and one['name'] == inferencer.classes[label]
        assert one['score'] == pytest.approx(float(predictions[0]['scores'][number]), abs=1e-5)
        np.testing.assert_allclose(one['box'], predictions[0]['boxes'][number], atol=1e-2)
        if 'masks' in predictions[0]:
            mask = pycocotools.mask.decode(one['mask'])
            assert (mask == predictions[0]['masks'][number]).mean() > 0.99


def test_mixed_precision(files, images, predictions):
    half = build_inferencer(*files, device='cpu', dtype='bfloat16', show_progress=False)
    (prediction,) = half(images[0])['predictions']
    assert prediction['boxes'].dtype == prediction['scores'].dtype == np.float32
    assert prediction['scores'][0] == pytest.approx(predictions[0]['scores'][0], abs=0.05)


def test_nothing_is_found(inferencer, images):
    shapes = dict(boxes=(0, 4), labels=(0,), scores=(0,), masks=(0, 64, 96))
    kinds = dict(labels=int, masks=bool)
    empty = {name: np.zeros(shape, kinds.get(name, np.float32)) for name, shape in shapes.items()}
    assert json.loads(inferencer.encode(empty)['_objects.json']) == dict(objects=[])
    np.testing.assert_array_equal(inferencer.draw(images[0], empty), images[0][..., ::-1])
    assert inferencer.summarize(empty).startswith('0 objects')


def test_panoptic_models(images):
    changes = {'model.backbone.init_cfg': None, 'model.panoptic_head.num_queries': 3}
    config = get_config('mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py')
    config.merge_from_dict(changes)
    config.test_dataloader.dataset.pipeline[1].scale = (96, 64)
    with pytest.raises(ValueError, match=r'MaskFormer.*instance_on'):
        build_inferencer(config, device='cpu', show_progress=False)
    config.model.test_cfg.instance_on = True
    (prediction,) = build_inferencer(config, device='cpu', show_progress=False)(images[0])['predictions']
    assert prediction['boxes'].shape == (len(prediction['labels']), 4) and len(prediction['masks'][0]) == 64
