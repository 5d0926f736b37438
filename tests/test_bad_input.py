"""What a user may feed a model: a result of the right size, or an error that says what is wrong with what."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import inference_model, init_model
from tiny_arch import write_arch

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.inference import build_inferencer

CONFIGS = Path(__file__).parents[1] / 'configs'
CLASSES = ['wall', 'sky', 'tree']
COLOURS = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The shipped config of VPD, with a tiny network and small images."""
    config = Config.fromfile(CONFIGS / 'vpd' / 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py')
    model = config.model
    model.backbone.arch = write_arch(tmp_path_factory.mktemp('arch') / 'arch')
    model.backbone.prompts.classes = CLASSES
    model.neck.update(in_channels=[8, 16 + 3, 24 + 3, 40], out_channels=8)
    model.decode_head.update(in_channels=[8] * 4, channels=8, num_classes=len(CLASSES))
    model.test_cfg.update(crop_size=(64, 64), stride=(43, 43))
    resize = next(transform for transform in config.test_pipeline if transform.type == 'Resize')
    resize.scale = (256, 64)
    config.test_dataloader.dataset.pipeline = config.test_pipeline
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    config.dump(path)
    return str(path)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, config):
    """A checkpoint as mmengine writes it."""
    torch.manual_seed(0)
    model = init_model(config, device='cpu')
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES, palette=COLOURS))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture(scope='module')
def model(config, checkpoint):
    return init_model(config, checkpoint, device='cpu')


@pytest.fixture(scope='module')
def inferencer(config, checkpoint):
    return build_inferencer(config, checkpoint, device='cpu', show_progress=False)


@pytest.fixture(autouse=True)
def default_scope():
    """As ``init_model`` leaves it, which the module's fixtures call for the first test only."""
    init_default_scope('mmseg')


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


IMAGES = {
    '1x1': noise(1, 1, 3),
    '7x900': noise(7, 900, 3),
    '900x7': noise(900, 7, 3),
    'grey': noise(33, 47),
    '16-bit': noise(33, 47, 3, dtype=np.uint16),
    '16-bit grey': noise(33, 47, dtype=np.uint16),
    'RGBA': noise(33, 47, 4),
}
BROKEN = {
    'empty.png': b'',
    'text.png': b'not an image',
    'cut.png': cv2.imencode('.png', IMAGES['1x1'])[1].tobytes()[:40],
}


@pytest.mark.parametrize('kind', IMAGES)
def test_unusual_images(model, inferencer, tmp_path, kind):
    path = str(tmp_path / 'image.png')
    assert cv2.imwrite(path, IMAGES[kind])
    size = IMAGES[kind].shape[:2]
    result = inference_model(model, path)
    labels = result.pred_sem_seg.data[0]
    assert labels.shape == size and set(labels.unique().tolist()) <= {0, 1, 2}
    assert torch.isfinite(result.seg_logits.data).all()
    np.testing.assert_array_equal(inferencer(path)['predictions'][0]['labels'], labels)


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_named(inferencer, tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=re.escape(name)):
        inferencer(tmp_path / name)


def changed(checkpoint, path, change):
    content = load_file(checkpoint)
    result = change(content)
    torch.save(content if result is None else result, path)
    return str(path)


def without(content, part):
    weights = content['state_dict']
    return content | dict(state_dict={name: weight for name, weight in weights.items() if not name.startswith(part)})


FIRST = 'backbone.unet.conv_in.weight'
BAD_CHECKPOINTS = {
    'nodict': (lambda c: 7, 'dict'),
    'str_value': (lambda c: c['state_dict'].update({FIRST: 'text'}), FIRST),
    'intkey': (lambda c: c['state_dict'].update({5: torch.ones(2)}), '5'),
    'metastr': (lambda c: c.update(meta='text'), 'meta'),
    'dataset_meta': (lambda c: c['meta'].update(dataset_meta='text'), 'dataset_meta'),
    'classes': (lambda c: c['meta']['dataset_meta'].update(classes=3), 'classes'),
    'nan': (lambda c: c['state_dict'].update({FIRST: c['state_dict'][FIRST] * torch.nan}), FIRST),
    'complex': (lambda c: c['state_dict'].update({FIRST: c['state_dict'][FIRST] + 0j}), FIRST),
    'sparse': (lambda c: c['state_dict'].update({FIRST: c['state_dict'][FIRST].to_sparse()}), FIRST),
    'meta_tensor': (lambda c: c['state_dict'].update({FIRST: c['state_dict'][FIRST].to('meta')}), FIRST),
    'lack_head': (lambda c: without(c, 'decode_head'), 'decode_head'),
    'neck_lack': (lambda c: without(c, 'neck'), 'neck'),
    'head_shape': (
        lambda c: c['state_dict'].update({'decode_head.conv_seg.weight': torch.ones(5, 8, 1, 1)}),
        'decode_head.conv_seg.weight',
    ),
}


@pytest.mark.parametrize('fault', BAD_CHECKPOINTS)
def test_bad_checkpoints(config, checkpoint, tmp_path, fault):
    change, named = BAD_CHECKPOINTS[fault]
    path = changed(checkpoint, tmp_path / 'bad.pth', change)
    with pytest.raises((ValueError, RuntimeError), match=re.escape(named)):
        init_model(config, path, device='cpu')


WITHOUT_META = {'bare': lambda c: c['state_dict'], 'no meta': lambda c: dict(state_dict=c['state_dict'])}


@pytest.mark.parametrize('kind', WITHOUT_META)
def test_weights_without_meta(config, checkpoint, model, tmp_path, kind):
    """As other programs save them; mmseg warns that it takes the classes of a data set."""
    with pytest.warns(UserWarning, match='dataset_meta'):
        bare = init_model(config, changed(checkpoint, tmp_path / 'bare.pth', WITHOUT_META[kind]), device='cpu')
    assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in bare.state_dict().items())
