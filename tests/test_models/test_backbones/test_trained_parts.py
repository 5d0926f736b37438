"""The autoencoder and the text encoder, which are trained if they are not listed as frozen."""

import copy
import pickle

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import build_text_encoder

IMAGES = (2, 3, 64, 96)
SENTENCES = ['the red sphere', 'a box left of the cone']
TEXT = dict(type='TextPrompts', max_length=9, adapter=dict(type='TextAdapter', gamma=0.5))
LATENT_STD = 5.0


def build(frozen=(), **arguments):
    torch.manual_seed(1)
    arguments = dict(prompts=TEXT, latent_std=LATENT_STD) | arguments
    backbone = DiffusionUNet('tiny-sd', frozen=list(frozen) if isinstance(frozen, tuple) else frozen, **arguments)
    if hasattr(backbone.prompts, 'text_encoder'):
        backbone.prompts.text_encoder.note_weights()  # random ones
    return backbone.train()


def trained_parts(backbone):
    names = [name.removeprefix('prompts.') for name, weight in backbone.named_parameters() if weight.requires_grad]
    return {name.split('.')[0] for name in names}


def loss_of(backbone, images, sentences=SENTENCES):
    return sum(feature.square().mean() for feature in backbone((images, sentences)))


@pytest.mark.parametrize(
    ('frozen', 'trained'),
    [
        (False, {'unet', 'adapter'}),
        (True, {'adapter'}),
        (('autoencoder', 'text_encoder'), {'unet', 'adapter'}),
        (('text_encoder',), {'unet', 'autoencoder', 'adapter'}),
        (('autoencoder',), {'unet', 'text_encoder', 'adapter'}),
        (('unet',), {'autoencoder', 'text_encoder', 'adapter'}),
        ((), {'unet', 'autoencoder', 'text_encoder', 'adapter'}),
    ],
)
def test_parts_by_name(frozen, trained):
    backbone = build(frozen)
    assert trained_parts(backbone) == trained
    loss_of(backbone, torch.rand(IMAGES)).backward()
    for name, weight in backbone.named_parameters():
        assert (weight.grad is not None) == weight.requires_grad, name
    parts = dict(
        unet=backbone.unet, autoencoder=backbone.autoencoder.vae, text_encoder=backbone.prompts.text_encoder.clip
    )
    for name, part in parts.items():
        assert part.training == (name in trained)
    assert not any(module.training for module in backbone.eval().modules())


def test_gradients_of_the_whole_chain():
    """Equal to those of the networks of diffusers and transformers, written out."""
    backbone = build(out_indices=(0,))
    images = torch.rand(IMAGES) * 2 - 1
    loss_of(backbone, images).backward()
    found = {name: weight.grad.clone() for name, weight in backbone.named_parameters()}
    backbone.zero_grad()

    vae, encoder, adapter = backbone.autoencoder.vae, backbone.prompts.text_encoder, backbone.prompts.adapter
    moments = vae.quant_conv(vae.encoder(images))
    tokens = [encoder._tokenize(sentence, encoder.tokenizers['text_encoder']) for sentence in SENTENCES]
    states = encoder.clip(torch.tensor(tokens)).last_hidden_state
    features = []
    handle = backbone.unet.up_blocks[-1].register_forward_hook(lambda module, args, output: features.append(output))
    backbone.unet(moments.chunk(2, dim=1)[0] / LATENT_STD, 1, adapter(states))
    handle.remove()
    features[0].square().mean().backward()
    assert set(found) == {name for name, _ in backbone.named_parameters()}
    for name, weight in backbone.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-7, msg=name)


def test_checkpointing_gives_the_same_gradients():
    images = torch.rand(IMAGES) * 2 - 1
    plain, saving = build(out_indices=(0, 2)), build(out_indices=(0, 2), with_cp=True)
    assert saving.autoencoder.vae.encoder.gradient_checkpointing
    for backbone in (plain, saving):
        loss_of(backbone, images).backward()
    for (name, expected), weight in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected.grad, rtol=1e-4, atol=1e-7, msg=name)
    pickle.loads(pickle.dumps(saving))
    assert not build(True, with_cp=True).autoencoder.vae.encoder.gradient_checkpointing


def test_no_sentence_is_kept_of_a_text_encoder_that_changes():
    backbone = build()
    encoder = backbone.prompts.text_encoder
    before = encoder(SENTENCES)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(1.1)
    assert not torch.allclose(encoder(SENTENCES), before)
    assert not encoder._encoded
    frozen = build(False).prompts.text_encoder
    frozen(SENTENCES)
    assert {sentence for _, sentence in frozen._encoded} == set(SENTENCES)


def test_prediction_without_gradients():
    backbone = build().eval()
    with torch.no_grad():
        assert not any(feature.requires_grad for feature in backbone((torch.rand(IMAGES), SENTENCES)))


def test_rates_of_their_own():
    wrapper = dict(
        type='OptimWrapper',
        constructor='GroupedOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=1.0),
        paramwise_cfg=dict(custom_keys={name: dict(lr_mult=0.01) for name in ('unet', 'autoencoder', 'text_encoder')}),
    )
    backbone = build()
    before = copy.deepcopy(backbone.state_dict())
    optimizer = build_optim_wrapper(backbone, ConfigDict(wrapper)).optimizer
    rates = {group['lr']: len(group['params']) for group in optimizer.param_groups}
    assert set(rates) == {0.01, 1.0} and rates[1.0] == len(list(backbone.prompts.adapter.parameters()))
    loss_of(backbone, torch.rand(IMAGES)).backward()
    optimizer.step()
    changed = {name for name, weight in backbone.state_dict().items() if not torch.equal(weight, before[name])}
    assert {name.split('.')[0] for name in changed} == {'autoencoder', 'unet', 'prompts'}
    assert any('text_encoder' in name for name in changed)


def test_trained_weights_are_in_checkpoints():
    backbone, other = build(), build()
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.add_(0.01)
    other.load_state_dict(backbone.state_dict())
    images = torch.rand(IMAGES) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(loss_of(other, images), loss_of(backbone, images))


def test_text_encoder_is_the_one_of_transformers():
    assert type(build().prompts.text_encoder.clip) is type(build_text_encoder('tiny-sd'))


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(frozen=['text_encoder', 'vae']), 'unet, autoencoder, text_encoder'),
        (dict(frozen=['unet', 'unet']), 'frozen'),
        (dict(frozen=[], prompts=None), r'frozen=\[\].*ClassPrompts.*text_encoder'),
        (dict(latent_std=5.0, scale_latents=True), r'latent_std=5.0.*scale_latents'),
        (dict(latent_std=0.0), 'latent_std'),
        (dict(frozen=['text_encoder'], autoencoder_dtype='bfloat16'), "dtype='bfloat16'.*trained=True"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        DiffusionUNet('tiny-sd', **dict(prompts=TEXT) | arguments)


def test_text_encoders_of_sdxl_stay_frozen(archs):
    with pytest.raises(ValueError, match='SDXL.*text_encoder'):
        DiffusionUNet(archs['sdxl'], prompts=dict(type='TextPrompts', max_length=9), frozen=['autoencoder'])


def test_latents_of_a_data_set():
    images = torch.rand(IMAGES) * 2 - 1
    plain, divided = build(latent_std=None).autoencoder, build().autoencoder
    torch.testing.assert_close(divided.encode(images) * LATENT_STD, plain.encode(images))
