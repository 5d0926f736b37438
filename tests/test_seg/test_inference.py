import re

import cv2
import numpy as np
import pytest
import tiny_refer
import torch
import torch.nn.functional as F
from mmseg.apis import init_model
from mmseg.datasets.transforms import PackSegInputs
from tiny_depth import write_checkpoint, write_config

from mmdiffperc.seg.inference import predict_depth, segment_phrase


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    return init_model(config, write_checkpoint(config, folder / 'depth.pth'), device='cpu')


@pytest.fixture
def image():
    """BGR, of sides that no stride divides."""
    return np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)


def features_to_depth(model, image, scene_id):
    """Depth by the parts of the model, of an image whose sides 64 divides."""
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        features = model.backbone((inputs, torch.tensor([scene_id])))
        return model.decode_head((*features, image.shape[:2]))[0, 0]


def test_is_what_the_model_computes(model):
    image = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
    depth = predict_depth(model, image, 'kitchen')
    assert depth.dtype == np.float32 and depth.std() > 0
    torch.testing.assert_close(torch.from_numpy(depth), features_to_depth(model, image, 6), rtol=1e-5, atol=1e-5)


def test_scene_counts_and_may_be_unknown(model, image):
    unknown, kitchen, bookstore = (predict_depth(model, image, scene) for scene in (None, 'kitchen', 'bookstore'))
    assert unknown.shape == (50, 90) and 0 < unknown.min() and unknown.max() < 10
    assert not np.array_equal(kitchen, bookstore) and not np.array_equal(kitchen, unknown)


def test_file_and_array_agree(model, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    expected = predict_depth(model, image)
    np.testing.assert_array_equal(predict_depth(model, tmp_path / 'image.png'), expected)
    np.testing.assert_array_equal(predict_depth(model, str(tmp_path / 'image.png')), expected)


def test_resize_in_the_pipeline_is_undone(model, image, monkeypatch):
    dataset = model.cfg.test_dataloader.dataset
    loader, *transforms = dataset.pipeline
    resize = dict(type='Resize', scale=(128, 64), keep_ratio=False)
    monkeypatch.setitem(dataset, 'pipeline', [loader, resize, *transforms])
    large = features_to_depth(model, cv2.resize(image, (128, 64)), -1)
    expected = F.interpolate(large[None, None], (50, 90), mode='bilinear')[0, 0]
    torch.testing.assert_close(torch.from_numpy(predict_depth(model, image)), expected, rtol=1e-5, atol=1e-5)


def test_other_ways_to_write_the_test_data(model, image, monkeypatch):
    """Scopes, import paths and classes as types; a data set in another one; a data set that is not read yet."""
    expected = predict_depth(model, image)
    loader = model.cfg.test_dataloader.dataset
    types = [
        'mmseg.LoadImageFromFile',
        'mmseg.datasets.LoadDepthAnnotation',
        'mmdiffperc.seg.depth.CheckDepth',
        PackSegInputs,
    ]
    old = [transform['type'] for transform in loader.pipeline]
    assert old == ['LoadImageFromFile', 'LoadDepthAnnotation', 'CheckDepth', 'PackSegInputs']
    pipeline = [dict(transform, type=kind) for transform, kind in zip(loader.pipeline, types, strict=True)]
    dataset = dict(type='mmseg.NYUDataset', pipeline=pipeline, lazy_init=True, data_root='nowhere')
    wrapped = dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=dataset)])
    monkeypatch.setitem(model.cfg.test_dataloader, 'dataset', wrapped)
    np.testing.assert_array_equal(predict_depth(model, image), expected)


def test_unknown_scene(model, image):
    with pytest.raises(ValueError, match=r"'spaceship'.*printer_room"):
        predict_depth(model, image, 'spaceship')


def test_scene_for_a_model_without_scenes(model, image, monkeypatch):
    monkeypatch.setattr(type(model.backbone.prompts), 'by_category', False)
    with pytest.raises(ValueError, match="'kitchen'"):
        predict_depth(model, image, 'kitchen')


def test_no_depth_estimator(model, image):
    with pytest.raises(ValueError, match='DiffusionUNet'):
        predict_depth(model.backbone, image)


def test_no_image(model, tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(ValueError, match=r'text\.png'):
        predict_depth(model, tmp_path / 'text.png')


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory):
    folder = tmp_path_factory.mktemp('refer')
    config = tiny_refer.write_config(folder)
    return init_model(config, tiny_refer.write_checkpoint(config, folder / 'refer.pth'), device='cpu')


def test_phrase_is_what_the_model_segments(segmentor):
    read = []
    hook = segmentor.backbone.prompts.text_encoder.register_forward_pre_hook(lambda _, args: read.extend(args[0]))
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    mask = segment_phrase(segmentor, image, ' the red sphere')
    hook.remove()
    assert read == ['the red sphere']
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        logits = segmentor.decode_head(segmentor.backbone((inputs, read)))
    logits = F.interpolate(logits, (64, 64), mode='bilinear', align_corners=True)
    assert mask.dtype == bool and 0 < mask.sum() < mask.size
    assert (mask == logits[0].argmax(0).numpy().astype(bool)).mean() > 0.999


def test_mask_has_the_size_of_the_image(segmentor, image, tmp_path):
    """Though the pipeline squashes it, and compares with the truth at the network's size."""
    mask = segment_phrase(segmentor, image, 'the red sphere')
    assert mask.shape == (50, 90)
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    np.testing.assert_array_equal(segment_phrase(segmentor, tmp_path / 'image.png', 'the red sphere'), mask)


def test_text_that_is_no_sentence(segmentor, image):
    with pytest.raises(TypeError, match=r"\['a', 'b'\]"):
        segment_phrase(segmentor, image, ['a', 'b'])
    with pytest.raises(TypeError, match='NoneType'):
        segment_phrase(segmentor, image, None)
    with pytest.raises(ValueError, match='empty'):
        segment_phrase(segmentor, image, '')


def test_no_referring_segmentor(model, image):
    with pytest.raises(ValueError, match='DiffusionDepthEstimator'):
        segment_phrase(model, image, 'the red sphere')


@pytest.mark.parametrize(
    'array',
    [np.zeros((5, 6, 4), np.uint8), np.zeros((5, 6, 3)), np.zeros((5, 6, 1), np.uint8), np.zeros((0, 6, 3), np.uint8)],
    ids=['RGBA', 'float', 'one channel', 'empty'],
)
def test_array_that_is_no_image(model, segmentor, array):
    for predict in (lambda: predict_depth(model, array), lambda: segment_phrase(segmentor, array, 'the red sphere')):
        with pytest.raises(ValueError, match=re.escape(str(array.shape))):
            predict()


def test_neither_file_nor_array(model):
    with pytest.raises(TypeError, match='got NoneType None'):
        predict_depth(model, None)
