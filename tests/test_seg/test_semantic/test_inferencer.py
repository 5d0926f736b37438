import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from tiny_arch import write_arch

from mmdiffperc.inference import build_inferencer
from mmdiffperc.seg import SemanticInferencer

CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The toy config at a tiny width, and a checkpoint of it that names its classes."""
    folder = tmp_path_factory.mktemp('semantic')
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.update(arch=write_arch(folder / 'arch', 'sd2'), init_cfg=None)
    classes = cfg.model.decode_head.num_classes
    cfg.model.neck.update(in_channels=[16, 24 + classes, 32 + classes, 40], out_channels=8)
    cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)
    cfg.dump(folder / 'semantic.py')
    model = init_model(str(folder / 'semantic.py'), device='cpu')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta={})), folder / 'semantic.pth')
    return str(folder / 'semantic.py'), str(folder / 'semantic.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return build_inferencer(*files, device='cpu', show_progress=False)


def test_labels_are_those_of_the_host(files, inferencer, tmp_path):
    assert isinstance(inferencer, SemanticInferencer)
    images = [np.random.default_rng(n).integers(0, 256, (70, 50 + n // 2, 3), np.uint8) for n in range(3)]
    results = inferencer(images, batch_size=3, out_dir=tmp_path, return_vis=True)
    model = init_model(*files, device='cpu')
    for index, (image, prediction) in enumerate(zip(images, results['predictions'], strict=True)):
        expected = inference_model(model, image).pred_sem_seg.data[0].numpy()
        assert prediction['labels'].dtype == np.uint8 and len(np.unique(expected)) > 1
        assert (prediction['labels'] == expected).mean() > 0.999
        written = cv2.imread(str(tmp_path / f'{index:06}_labels.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, prediction['labels'])
        overlay = cv2.imread(str(tmp_path / f'{index:06}_overlay.png'))
        np.testing.assert_array_equal(overlay[..., ::-1], results['visualization'][index])


def test_shares_are_listed_from_the_largest(inferencer):
    floor, _, ball, *_ = inferencer.classes
    labels = np.array([[0, 2, 2], [2, 0, 2]], np.uint8)
    assert inferencer.summarize(dict(labels=labels)) == f'{ball} 66.7%, {floor} 33.3%'
