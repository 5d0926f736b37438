import math

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models import DepthEstimator, EncoderDecoder
from mmseg.registry import MODELS

from mmdiffperc.seg import DiffusionDepthEstimator, DiffusionSegmentor, ReferringSegmentor
from mmdiffperc.seg.windows import find_windows

SLIDE = dict(mode='slide', crop_size=(48, 64), stride=(32, 40))


@pytest.mark.parametrize('size', [(48, 64), (49, 64), (80, 104), (81, 105), (30, 200), (300, 7)])
def test_windows_are_those_of_the_host(size):
    """The formula of ``EncoderDecoder.slide_inference``."""
    expected = []
    rows, columns = (
        max(side - crop + stride - 1, 0) // stride + 1
        for side, crop, stride in zip(size, SLIDE['crop_size'], SLIDE['stride'], strict=True)
    )
    for row in range(rows):
        for column in range(columns):
            bottom, right = min(row * 32 + 48, size[0]), min(column * 40 + 64, size[1])
            expected.append((slice(max(bottom - 48, 0), bottom), slice(max(right - 64, 0), right)))
    assert find_windows(size, SLIDE['crop_size'], SLIDE['stride']) == expected


@pytest.fixture(scope='module')
def build(tiny_vpd):
    def build(kind, **changes):
        init_default_scope('mmseg')
        cfg = Config.fromfile(tiny_vpd).model
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(cfg, type=kind, test_cfg=ConfigDict(SLIDE | changes)))
        torch.nn.init.normal_(model.decode_head.conv_seg.weight)
        return model.eval()

    return build


def metas_of(images, **entries):
    size = tuple(images.shape[-2:])
    return [dict(ori_shape=size, img_shape=size, pad_shape=size, **entries) for _ in images]


@torch.no_grad()
def predict(model, images, **entries):
    sizes = []
    handle = model.backbone.register_forward_pre_hook(
        lambda module, args: sizes.append(len(args[0][0] if isinstance(args[0], tuple) else args[0]))
    )
    prediction = model.inference(images, metas_of(images, **entries))
    handle.remove()
    return prediction, sizes


@pytest.mark.parametrize('window_batch', [None, 1, 5, 100])
def test_equals_one_window_at_a_time(build, window_batch):
    """Two images with six windows each."""
    images = torch.rand(2, 3, 81, 104) * 2 - 1
    expected, sizes = predict(build(EncoderDecoder), images)
    assert sizes == [2] * 6
    changes = dict(window_batch=window_batch) if window_batch else {}
    logits, sizes = predict(build(DiffusionSegmentor, **changes), images)
    size = window_batch or 2
    assert sizes == [min(size, 12 - start) for start in range(0, 12, size)]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_the_checkpoint_of_the_host_fits(build):
    ours, theirs = build(DiffusionSegmentor), build(EncoderDecoder)
    ours.load_state_dict(theirs.state_dict(), strict=True)


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_auto_mode(build, mode):
    images = torch.rand(1, 3, 81, 104) * 2 - 1
    expected, sizes = predict(build(DiffusionSegmentor, mode=mode), images)
    limit = 81 * 104 - (mode == 'slide')
    found, found_sizes = predict(build(DiffusionSegmentor, mode='auto', whole_pixels=limit), images)
    assert torch.equal(found, expected) and found_sizes == sizes == [1] * (6 if mode == 'slide' else 1)


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(mode='slid'), 'whole, slide, auto'),
        (dict(mode='auto', crop_size=None), 'crop_size'),
        (dict(mode='auto'), 'whole_pixels'),
        (dict(mode='auto', whole_pixels=0), 'whole_pixels.*0'),
        (dict(window_batch=0), 'window_batch.*0'),
        (dict(window_batch=2.0), 'window_batch.*2.0'),
        (dict(window_batch=True), 'window_batch.*True'),
    ],
)
def test_wrong_settings(build, test_cfg, message):
    with pytest.raises(ValueError, match=message):
        build(DiffusionSegmentor, **test_cfg)


def test_the_segmentor_of_the_host_has_no_window_batch(build):
    model = build(EncoderDecoder, window_batch=2)
    with pytest.raises(ValueError, match='EncoderDecoder.*window_batch=2.*DiffusionSegmentor'):
        model(torch.zeros(1, 3, 48, 64))


@pytest.fixture(scope='module')
def depth(archs):
    def depth(kind, **test_cfg):
        torch.manual_seed(0)
        model = MODELS.get(kind)(
            backbone=dict(
                type='DiffusionUNet', arch=archs['sd2'], prompts=dict(type='ScenePrompts', classes=['a', 'b'])
            ),
            decode_head=dict(
                type='VPDDepthHead' if kind == 'DepthEstimator' else 'AnySizeDepthHead',
                in_channels=[16, 24, 32, 40],
                embed_dim=2,
                feature_dim=16,
                num_deconv_filters=(4, 4, 4),
            ),
            test_cfg=ConfigDict(test_cfg),
        )
        for weight in model.decode_head.parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
        return model.eval()

    return depth


@pytest.mark.parametrize('window_batch', [1, 4])
def test_flipped_depth_equals_that_of_the_host(depth, window_batch):
    """Windows of 64, for which both heads compute the same; each with its mirror image."""
    settings = dict(mode='slide_flip', crop_size=(64, 64), stride=(40, 48))
    images = torch.rand(2, 3, 104, 150) * 2 - 1
    expected, sizes = predict(depth('DepthEstimator', **settings), images, category_id=1)
    assert sizes == [2] * 12
    found, sizes = predict(
        depth('DiffusionDepthEstimator', **settings, window_batch=window_batch), images, category_id=1
    )
    assert sizes == [2 * window_batch] * math.ceil(12 / window_batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert isinstance(depth('DepthEstimator', mode='whole'), DepthEstimator)


def test_shifted_windows_in_batches(depth):
    images = torch.rand(2, 3, 64, 200) * 2 - 1
    expected, sizes = predict(depth('DiffusionDepthEstimator', mode='shift', num_windows=4), images, category_id=0)
    assert sizes == [16]
    settings = dict(mode='shift', num_windows=4, window_batch=3)
    found, sizes = predict(depth('DiffusionDepthEstimator', **settings), images, category_id=0)
    assert sizes == [6, 6, 4]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert isinstance(depth('DiffusionDepthEstimator', mode='whole'), DiffusionDepthEstimator)


def test_each_window_has_the_sentence_of_its_image_which_is_encoded_once(arch):
    torch.manual_seed(0)
    prompts = dict(type='TextPrompts', max_length=9)
    head = dict(type='SimpleDecodingHead', in_channels=[8, 16, 24, 40], channels=8)
    model = ReferringSegmentor(
        backbone=dict(type='DiffusionUNet', arch=arch, prompts=prompts),
        decode_head=head,
        test_cfg=ConfigDict(SLIDE, window_batch=5),
    ).eval()
    model.backbone.prompts.text_encoder.note_weights()
    images = torch.rand(2, 3, 48, 144) * 2 - 1
    encoded, given = [], []
    model.backbone.prompts.text_encoder.clip.register_forward_hook(
        lambda module, args, output: encoded.append(len(args[0]))
    )
    model.backbone.register_forward_pre_hook(lambda module, args: given.extend(args[0][1]))
    metas = [dict(meta, text=text) for meta, text in zip(metas_of(images), ['a cone', 'the box'], strict=True)]
    with torch.no_grad():
        logits = model.inference(images, metas)
    assert logits.shape == (2, 2, 48, 144)
    assert given == ['a cone', 'the box'] * 3
    assert encoded == [2]
