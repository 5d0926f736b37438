from contextlib import nullcontext

import pytest
import torch

from mmdiffperc.models import DiffusionUNet, TextPrompts

SENTENCES = ['the red sphere', 'a box left of the cone']


@pytest.fixture
def prompts():
    adapter = dict(type='TextAdapter', gamma=0.5)
    prompts = TextPrompts('tiny-sd', embed_dims=96, max_length=9, adapter=adapter)
    prompts.init_embeddings('tiny-sd', 'tiny-sd')
    return prompts


def test_one_prompt_for_each_token(prompts):
    embeds = prompts(2, SENTENCES)
    assert embeds.shape == (2, prompts.num_prompts, 96) == (2, 9, 96)
    torch.testing.assert_close(embeds, prompts.adapter(prompts.text_encoder(SENTENCES)))
    assert not torch.allclose(embeds[0], embeds[1], atol=1e-2)


def test_forty_tokens_of_sd1_by_default():
    with torch.device('meta'):
        prompts = TextPrompts('sd1-5', embed_dims=768)
    assert prompts.num_prompts == 40
    assert sum(weight.numel() for weight in prompts.text_encoder.parameters()) == 123_060_480


def test_sentences_are_cleaned(prompts):
    torch.testing.assert_close(prompts(1, ['The \n  RED   sphere &amp; box ']), prompts(1, ['the red sphere & box']))


def test_ready_hidden_states(prompts):
    states = torch.randn(2, 9, 96)
    torch.testing.assert_close(prompts(2, states), prompts.adapter(states))
    for other in (states[:1], states[:, :8], states[..., :95]):
        with pytest.raises(ValueError, match=r'\(2, 9, 96\)'):
            prompts(2, other)


def test_only_the_adapter_trains(prompts):
    prompts.train()
    assert {name.split('.')[0] for name, weight in prompts.named_parameters() if weight.requires_grad} == {'adapter'}
    prompts(2, SENTENCES).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in prompts.adapter.parameters())
    assert not prompts.text_encoder.training


def test_text_encoder_of_another_width():
    with pytest.raises(ValueError, match='96.*U-Net.*20'):
        TextPrompts('tiny-sd', embed_dims=20)


def test_the_backbone_fills_in_architecture_and_width():
    backbone = DiffusionUNet(
        arch='tiny-sd',
        prompts=dict(type='TextPrompts', max_length=9),
        cross_attention=dict(strides=(16,)),
        out_prompts=True,
        init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
    ).eval()
    assert backbone.out_channels == (64, 96 + 9, 128, 128)
    backbone.init_weights()
    images = torch.rand(2, 3, 64, 48) * 2 - 1
    with torch.no_grad():
        *features, embeds = backbone((images, SENTENCES))
        second = backbone((images[1:], SENTENCES[1:]))
    torch.testing.assert_close(embeds, backbone.prompts(2, SENTENCES))
    assert [feature.shape[1] for feature in features] == list(backbone.out_channels)
    torch.testing.assert_close(features[0][1:], second[0], rtol=1e-4, atol=1e-4)  # each image its own sentence
    with pytest.raises(TypeError, match='sentences.*2'):
        backbone(images)


@pytest.mark.parametrize(('checkpoint', 'works'), [('/models/sd', True), ('/models/other', False)])
def test_two_sources_of_the_text_encoder(checkpoint, works):
    parts = dict(unet='tiny-sd', vae='tiny-sd', text_encoder='/models/sd')
    prompts = dict(type='TextPrompts', max_length=9, checkpoint=checkpoint)
    with nullcontext() if works else pytest.raises(ValueError, match='/models/other.*/models/sd'), torch.device('meta'):
        DiffusionUNet('tiny-sd', prompts=prompts, init_cfg=dict(type='Pretrained', checkpoint=parts))


def test_pooled_embeddings_of_sdxl(archs):
    prompts = TextPrompts(archs['sdxl'], embed_dims=32, max_length=9)
    prompts.text_encoder.note_weights()
    assert prompts(2, SENTENCES).shape == (2, 9, 32)
    torch.testing.assert_close(prompts.embed_pooled(2, SENTENCES), prompts.text_encoder.encode(SENTENCES).pooled)
    with pytest.raises(TypeError, match='sentences'):
        prompts.embed_pooled(2, torch.zeros(2, 9, 32))


def test_other_architectures_have_no_pooled_embeddings(prompts):
    assert prompts.embed_pooled(2, SENTENCES) is None
