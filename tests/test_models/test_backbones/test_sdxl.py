"""Stable Diffusion XL as the backbone: three levels, deep transformers, two text encoders, and enlarged images."""

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from backbone_checks import check_copy, loss_of
from logs import heard
from tiny_arch import write_diffusers_folder

from mmdiffperc.models import DiffusionUNet, LatentAutoencoder
from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.weights.architectures import build_unet

CLASSES = dict(type='ClassPrompts', classes=['sky', 'sea', 'sand'], templates=['a {}', 'the {}'])
LEARNED = dict(type='MetaPrompts', num_prompts=5)
MAPS = dict(strides=(16, 32))
DEEP = 'up_blocks.0.attentions.1.transformer_blocks.2'


@pytest.fixture(scope='module')
def sdxl(archs):
    return archs['sdxl']


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(1)
    return torch.rand(2, 3, 72, 40) * 2 - 1  # latents of 9 x 5


@pytest.fixture(scope='module')
def folder(sdxl, tmp_path_factory):
    """A diffusers folder of SDXL with random weights."""
    return write_diffusers_folder(tmp_path_factory.mktemp('sdxl'), sdxl)


@pytest.mark.parametrize(
    ('options', 'strides', 'channels'),
    [
        ({}, (8, 16, 32), (8, 16, 24)),
        (dict(prompts=CLASSES, cross_attention=MAPS), (8, 16, 32), (8, 16 + 3, 24 + 3)),
        (dict(prompts=LEARNED, cross_attention=dict(strides=(4,)), input_scale=4.0), (2, 4, 8), (8, 16 + 5, 24)),
        (dict(input_scale=8 / 3), (3, 6, 12), (8, 16, 24)),
        (dict(input_scale=2, out_indices=(0, 0, 1, 2), out_strides=(4, 8, 8, 32)), (4, 8, 8, 32), (8, 8, 16, 24)),
        (dict(taps=[f'{DEEP}.attn1.to_k', 'mid_block'], input_scale=2.0), (16, 16), (24, 24)),
    ],
)
@pytest.mark.parametrize('size', [(72, 40), (1, 1), (33, 77)])
def test_declared_channels_and_strides_are_the_actual_ones(sdxl, options, strides, channels, size):
    backbone = DiffusionUNet(sdxl, **options).eval()
    assert (backbone.out_strides, backbone.out_channels) == (strides, channels)
    with torch.no_grad():
        features = backbone(torch.rand(2, 3, *size))
    assert [tuple(feature.shape) for feature in features] == [
        (2, width, -(-size[0] // stride), -(-size[1] // stride))
        for width, stride in zip(channels, strides, strict=True)
    ]


def test_maps_are_the_mean_over_all_layers_of_a_stride(sdxl, images):
    backbone = DiffusionUNet(sdxl, prompts=CLASSES, cross_attention=MAPS).eval()
    kept = {16: [], 32: []}
    for name, layer in backbone.unet.named_modules():
        if name.endswith('.attn2') and not name.startswith('mid'):
            kept[16 if name.startswith(('down_blocks.1', 'up_blocks.1')) else 32].append((name, layer))
    # down_blocks.1 and .2, up_blocks.1 up to its second transformer, and the whole of up_blocks.0
    assert {stride: len(layers) for stride, layers in kept.items()} == {16: 2 * 2 + 3 * 2, 32: 2 * 3 + 3 * 3}
    inputs = {}
    for layers in kept.values():
        for name, layer in layers:
            layer.register_forward_pre_hook(
                lambda layer, args, kwargs, name=name: inputs.update(
                    {name: (args[0], kwargs['encoder_hidden_states'])}
                ),
                with_kwargs=True,
            )
    with torch.no_grad():
        features = backbone(images)
        for level, stride in ((1, 16), (2, 32)):
            maps = []
            for name, layer in kept[stride]:
                query, key = layer.to_q(inputs[name][0]), layer.to_k(inputs[name][1])
                query, key = (each.unflatten(2, (layer.heads, -1)) for each in (query, key))
                scores = torch.einsum('bqhc,bkhc->bhqk', query, key) * query.shape[-1] ** -0.5
                maps.append(scores.softmax(-1).mean(1))
            expected = torch.stack(maps).mean(0).transpose(1, 2)
            torch.testing.assert_close(features[level][:, -3:].flatten(2), expected)


@pytest.mark.parametrize(
    'options',
    [
        dict(prompts=CLASSES, cross_attention=MAPS),
        dict(prompts=LEARNED, lora=dict(r=2)),
        dict(taps=[f'{DEEP}.norm2', f'{DEEP}.attn1']),
        dict(prompts=LEARNED, num_refine_steps=2, learned_timesteps=True, resize_skips=True),
    ],
    ids=['maps', 'lora', 'taps', 'passes'],
)
def test_checkpointing_changes_neither_loss_nor_gradients(sdxl, images, options):
    plain = DiffusionUNet(sdxl, **options).train()
    for name, weight in plain.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(weight)
    saving = DiffusionUNet(sdxl, with_cp=True, **options).train()
    saving.load_state_dict(plain.state_dict())
    losses = [loss_of(backbone(images)) for backbone in (plain, saving)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (name, weight), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert (weight.grad is None) == (not weight.requires_grad), name  # each trained weight gets one
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, other.grad)
    if 'lora' in options:
        assert all(
            '.lora_' in name or name.startswith('prompts.')
            for name, weight in plain.named_parameters()
            if weight.requires_grad
        )


def test_a_learned_pooled_embedding_trains_where_nothing_attends(sdxl, images):
    backbone = DiffusionUNet(sdxl, prompts=LEARNED, taps=['down_blocks.0'])
    loss_of(backbone(images)).backward()
    assert backbone.prompts.pooled_embeddings.grad.abs().sum() > 0
    assert not backbone.prompts.embeddings[0].requires_grad


@pytest.mark.parametrize('tap', ['down_blocks.1.attentions.1', f'{DEEP}.ff.net.0', 'up_blocks.1.attentions.0'])
def test_what_is_left_computes_the_same(sdxl, images, tap):
    torch.manual_seed(0)
    whole = DiffusionUNet(sdxl, taps=[tap, 'up_blocks.2']).eval()
    cut = DiffusionUNet(sdxl, taps=[tap]).eval()
    left = cut.state_dict().keys()
    cut.load_state_dict({name: weight for name, weight in whole.state_dict().items() if name in left})
    with torch.no_grad():
        torch.testing.assert_close(cut(images)[0], whole(images)[0])
    assert len(left) < len(whole.state_dict())


@pytest.mark.parametrize('prompts', [CLASSES, LEARNED])
def test_half_precision(sdxl, images, prompts):
    backbone = DiffusionUNet(sdxl, prompts=prompts).bfloat16().eval()
    assert all(feature.dtype == torch.bfloat16 for feature in backbone(images.bfloat16()))


def test_copies(sdxl, images):
    check_copy(DiffusionUNet(sdxl, prompts=CLASSES, cross_attention=MAPS).eval(), images)


# Weights


def test_init_cfg_loads_all_parts_of_a_folder(sdxl, folder):
    init_cfg = dict(type='Pretrained', checkpoint=folder)
    backbone = DiffusionUNet(sdxl, prompts=CLASSES, init_cfg=init_cfg).eval()
    backbone.init_weights()
    unet = build_unet(sdxl).from_pretrained(f'{folder}/unet').state_dict()
    for name, weight in backbone.unet.state_dict().items():
        assert torch.equal(weight, unet[name])
    encoder = SentenceEncoder(sdxl, 20)
    encoder.load(folder)
    encoded = [encoder.encode([f'a {name}', f'the {name}']) for name in CLASSES['classes']]
    torch.testing.assert_close(backbone.prompts.embeddings, torch.stack([each.summary.mean(0) for each in encoded]))
    expected = torch.stack([each.pooled.mean(0) for each in encoded]).mean(0)
    torch.testing.assert_close(backbone.prompts.embed_pooled(1)[0], expected)


def test_a_checkpoint_needs_nothing_else(sdxl, folder, images):
    options = dict(prompts=dict(type='TextPrompts', max_length=9), out_prompts=True)
    trained = DiffusionUNet(sdxl, init_cfg=dict(type='Pretrained', checkpoint=folder), **options).eval()
    trained.init_weights()
    fresh = DiffusionUNet(sdxl, **options).eval()
    fresh.load_state_dict(trained.state_dict())
    inputs = images, ['a red box', 'the sky!']
    with torch.no_grad():
        for feature, expected in zip(fresh(inputs), trained(inputs), strict=True):
            torch.testing.assert_close(feature, expected)
    assert len(trained(inputs)[-1][0]) == 9


def test_the_pooled_embedding_matters(sdxl, folder, images):
    init_cfg = dict(type='Pretrained', checkpoint=folder)
    backbone = DiffusionUNet(sdxl, prompts=dict(type='ScenePrompts', classes=['a', 'b']), init_cfg=init_cfg).eval()
    backbone.init_weights()
    other = copy.deepcopy(backbone)
    other.prompts.pooled_embeddings[1] += 1
    ids = torch.tensor([0, 1])
    with torch.no_grad():
        features, changed = backbone((images, ids)), other((images, ids))
    for feature, moved in zip(features, changed, strict=True):
        torch.testing.assert_close(feature[0], moved[0])
        assert not torch.allclose(feature[1], moved[1], atol=1e-4)


# Enlarged images


def test_images_are_enlarged_before_they_are_encoded(sdxl, images):
    plain, scaled = DiffusionUNet(sdxl).eval(), DiffusionUNet(sdxl, input_scale=2.0).eval()
    scaled.load_state_dict(plain.state_dict())
    enlarged = F.interpolate(images, scale_factor=2, mode='bilinear')
    with torch.no_grad():  # their size is embedded, too
        for feature, expected in zip(scaled(images), plain(enlarged), strict=True):
            torch.testing.assert_close(feature, expected)


@pytest.mark.parametrize(
    ('scale', 'words'),
    [(3.0, r'2\.6667 \(stride 3\) or 4 \(stride 2\)'), (1.1, r'1 \(stride 8\) or 1\.1429 \(stride 7\)')],
)
def test_scales_without_a_whole_stride(sdxl, scale, words):
    with pytest.raises(ValueError, match=rf'input_scale={scale}.*8.*{words}'):
        DiffusionUNet(sdxl, input_scale=scale)


@pytest.mark.parametrize('scale', [0.5, 9, float('nan'), '2'])
def test_scales_out_of_range(sdxl, scale):
    with pytest.raises(ValueError, match='input_scale=.*1 to 8'):
        DiffusionUNet(sdxl, input_scale=scale)


# The autoencoder


def test_a_tiny_autoencoder_imitates_the_latents_of_sdxl(sdxl):
    autoencoder = LatentAutoencoder(dict(unet=sdxl, vae='taesdxl'))
    images = torch.rand(1, 3, 16, 24) * 2 - 1
    torch.testing.assert_close(autoencoder.encode(images), autoencoder.vae.encode(images).latents / 0.13025)
    assert LatentAutoencoder(sdxl).scaling_factor == 0.13025


@pytest.mark.parametrize(
    ('repaired', 'dtype', 'number'), [(False, torch.float16, 1), (False, torch.bfloat16, 0), (True, torch.float16, 0)]
)
def test_half_precision_causes_one_warning(sdxl, caplog, repaired, dtype, number):
    autoencoder = LatentAutoencoder(sdxl)
    if repaired:
        autoencoder.vae.register_to_config(force_upcast=False)
    with heard(caplog), torch.autocast('cpu', dtype):
        for _ in range(2):
            autoencoder.encode(torch.zeros(1, 3, 8, 8))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == number and all('madebyollin/sdxl-vae-fp16-fix' in warning for warning in warnings)


def test_half_precision_of_other_autoencoders(arch, caplog):
    with heard(caplog):
        LatentAutoencoder(arch).half().encode(torch.zeros(1, 3, 8, 8, dtype=torch.float16))
    assert 'overflow' not in caplog.text
