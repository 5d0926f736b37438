from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmdiffperc.seg.referring.referring_segmentor import ReferringSegmentor

TOKENS = 10
SENTENCES = ['the red sphere', 'a blue box left of the cone']
BACKBONE = dict(
    type='DiffusionUNet',
    arch='tiny-sd',
    prompts=dict(type='TextPrompts', max_length=TOKENS, adapter=dict(type='TextAdapter'), checkpoint='tiny-sd'),
    cross_attention=dict(strides=(16, 32)),
    init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
)
HEAD = dict(
    type='SimpleDecodingHead',
    in_channels=[64, 96 + TOKENS, 128 + TOKENS, 128],
    channels=8,
    loss_decode=dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1]),
)


def build(**changes):
    init_default_scope('mmseg')
    config = dict(type='ReferringSegmentor', backbone=BACKBONE, decode_head=HEAD, test_cfg=dict(mode='whole'))
    return MODELS.build(ConfigDict(config | changes))


@pytest.fixture(scope='module')
def trained_model():
    torch.manual_seed(0)
    model = build()
    model.init_weights()
    return model


@pytest.fixture
def model(trained_model):
    trained_model.zero_grad()
    return trained_model.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96) * 2 - 1


def samples(sentences=SENTENCES):
    size = dict(img_shape=(64, 96), ori_shape=(32, 48))
    targets = [torch.from_numpy(np.random.default_rng(i).integers(0, 2, (1, 64, 96))) for i in range(len(sentences))]
    return [
        SegDataSample(metainfo=dict(size, text=sentence), gt_sem_seg=PixelData(data=target))
        for sentence, target in zip(sentences, targets, strict=True)
    ]


@torch.no_grad()
def expected_logits(model, images, sentences):
    """At the head's own size, image by image."""
    pairs = zip(images, sentences, strict=True)
    return torch.cat([model.decode_head(model.backbone((image[None], [text]))) for image, text in pairs])


@torch.no_grad()
def test_tensor_mode(model, images):
    logits = model(images, samples(), mode='tensor')
    torch.testing.assert_close(logits, expected_logits(model, images, SENTENCES), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model(images, samples(SENTENCES[::-1]), mode='tensor'), logits, atol=1e-3)


@torch.no_grad()
def test_predict_mode(model, images):
    first, second = model(images, samples(), mode='predict')
    logits = expected_logits(model, images, SENTENCES)
    for size in ((64, 96), (32, 48)):  # of the input, then of the image
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=True)
    torch.testing.assert_close(first.seg_logits.data, logits[0], rtol=1e-4, atol=1e-4)
    assert second.pred_sem_seg.data.shape == (1, 32, 48)
    torch.testing.assert_close(second.pred_sem_seg.data[0], logits[1].argmax(0))


@torch.no_grad()
def test_loss_mode(model, images):
    loss = model(images, samples(), mode='loss')['decode.loss_ce']
    logits = F.interpolate(expected_logits(model, images, SENTENCES), (64, 96), mode='bilinear', align_corners=True)
    targets = torch.cat([sample.gt_sem_seg.data for sample in samples()])
    torch.testing.assert_close(loss, F.cross_entropy(logits, targets, torch.tensor([0.9, 1.1])), rtol=1e-4, atol=1e-4)


def test_gradients_reach_what_trains_and_nothing_else(model, images):
    model.train()
    model(images, samples(), mode='loss')['decode.loss_ce'].backward()
    frozen = ('backbone.autoencoder.', 'backbone.prompts.text_encoder.')
    for name, weight in model.named_parameters():
        assert weight.requires_grad != name.startswith(frozen), name
        assert (weight.grad is not None) == weight.requires_grad, name
    for name in ('backbone.unet.conv_in', 'backbone.prompts.adapter.mlp.0', 'decode_head.fusions.2.1.conv'):
        assert model.get_submodule(name).weight.grad.abs().sum() > 0


@torch.no_grad()
def test_windows_get_the_sentence_of_their_image(model, images):
    sliding = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    slider = build(test_cfg=sliding).eval()
    slider.load_state_dict(model.state_dict())
    logits = slider.encode_decode(images[:, :, :, :64], [dict(img_shape=(64, 64), text=text) for text in SENTENCES])
    whole = slider.inference(images, [sample.metainfo for sample in samples()])
    torch.testing.assert_close(whole[..., :32], logits[..., :32], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_converted_checkpoint_gets_its_text_encoder_while_it_is_loaded(model, images):
    """Official checkpoints hold none."""
    lacking = OrderedDict((k, v) for k, v in model.state_dict().items() if '.text_encoder.' not in k)
    other = build().eval()
    load_state_dict(other, lacking)
    torch.testing.assert_close(other(images, samples(), mode='tensor'), model(images, samples(), mode='tensor'))
    nowhere = dict(BACKBONE, prompts=dict(BACKBONE['prompts'], checkpoint=None))
    with pytest.raises(RuntimeError, match=r'SentenceEncoder.*model\.backbone\.prompts\.checkpoint'):
        load_state_dict(build(backbone=nowhere), lacking)


@pytest.mark.parametrize('mode', ['loss', 'predict', 'tensor'])
def test_sample_without_a_sentence(model, images, mode):
    without = samples()
    del without[1].text
    with pytest.raises(ValueError, match='`text`.*PackSegInputs'):
        model(images, without, mode=mode)


@pytest.mark.parametrize('mode', ['predict', 'tensor'])
def test_no_samples(model, images, mode):
    with pytest.raises(ValueError, match='`text`'):
        model(images, mode=mode)


def test_list_of_sentences(model, images):
    with pytest.raises(TypeError, match=r"\['a', 'b'\]"):
        model(images, samples(['the box', ['a', 'b']]), mode='tensor')


def test_prompts_that_read_no_sentence():
    prompts = dict(type='ClassPrompts', classes=['a'] * TOKENS)
    with pytest.raises(ValueError, match='TextPrompts.*ClassPrompts'):
        build(backbone=dict(BACKBONE, prompts=prompts))
    with pytest.raises(ValueError, match='TextPrompts.*NoneType'):
        build(backbone=dict(type='ResNet', depth=18))


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(mode='shift', num_windows=2), "mode.*'shift'"),
        (dict(mode='slide', stride=(32, 32)), "'slide'.*crop_size"),
    ],
)
def test_bad_test_mode(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        build(test_cfg=test_cfg)


@pytest.mark.parametrize('test_cfg', [None, dict()])
def test_the_test_mode_is_the_whole_image_if_nothing_is_said(test_cfg):
    assert build(test_cfg=test_cfg).test_cfg == dict(mode='whole')


def test_plain_segmentor_tells_that_sentences_are_missing(images):
    model = build(type='EncoderDecoder')
    assert not isinstance(model, ReferringSegmentor)
    nameless = [SegDataSample(metainfo=dict(img_path='a.png')) for _ in samples()]
    with pytest.raises(ValueError, match=r'a\.png.*LoadCaption'):
        model(images, nameless, mode='loss')
    with pytest.raises(TypeError, match=r'\(images, sentences\).*ReferringSegmentor'):
        model(images)
