import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmdiffperc.models.compvis import unet_key_map, vae_key_map
from mmdiffperc.models.official_checkpoints import convert, recognise, unwrap

PROMPTS = dict(type='ClassPrompts', classes=['a', 'b', 'c'], adapter=dict(type='TextAdapter'))


@pytest.fixture(scope='module')
def model(archs):
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    head = dict(type='FPNHead', in_channels=[8] * 2, in_index=[0, 1], feature_strides=[4, 8], channels=8, num_classes=3)
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='DiffusionUNet', arch=archs['sd1'], prompts=PROMPTS, cross_attention=dict(strides=(16, 32))
            ),
            neck=dict(type='FPN', in_channels=[8, 19, 27, 40], out_channels=8, num_outs=4),
            decode_head=head,
        )
    )


@pytest.fixture
def official(model):
    """The weights of `model` under the names and in the shapes of the official code."""
    unet, vae = unet_key_map(model.backbone.unet.config), vae_key_map(model.backbone.autoencoder.vae.config)
    weights = {'sd_model.betas': torch.zeros(9), 'unet.unet.diffusion_model.out.0.weight': torch.zeros(8)}
    for name, weight in model.state_dict().items():
        part, _, rest = name.removeprefix('backbone.').partition('.')
        if part == 'unet':
            name = f'unet.unet.diffusion_model.{unet[rest]}'
        elif part == 'autoencoder':
            name = f'encoder_vq.{vae[rest.removeprefix("vae.")]}'
            if '.mid.attn_1.' in name and weight.dim() == 2:
                weight = weight[..., None, None]
        elif part == 'prompts':
            renamed = {'embeddings': 'class_embeddings', 'adapter.gamma': 'gamma'}
            name = renamed.get(rest, rest.replace('adapter.mlp', 'text_adapter.fc'))
        weights[name] = weight.clone()
    return weights


def test_every_weight_finds_its_place(model, official):
    converted = convert(official, recognise(official), model)
    expected = model.state_dict()
    assert set(converted) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(converted[name], weight, rtol=0, atol=0)


def test_the_model_may_be_on_the_meta_device(model, official):
    import copy

    converted = convert(official, recognise(official), copy.deepcopy(model).to('meta'))
    torch.testing.assert_close(converted['backbone.prompts.embeddings'], model.backbone.prompts.embeddings)


@pytest.mark.parametrize(
    ('key', 'name'),
    [
        ('gamma', 'backbone.prompts.adapter.gamma'),
        ('unet.unet.diffusion_model.input_blocks.0.0.weight', 'backbone.unet.conv_in.weight'),
        ('neck.fpn_convs.3.conv.bias', 'neck.fpn_convs.3.conv.bias'),
    ],
)
def test_missing(model, official, key, name):
    layout = recognise(official)
    del official[key]
    with pytest.raises(ValueError, match=rf'VPD segmentation: 1 weights do not fit.*\n  missing {key} \(our {name}\)'):
        convert(official, layout, model)


@pytest.mark.parametrize('key', ['decode_head.extra.weight', 'unet.unet.diffusion_model.output_blocks.12.0.bias'])
def test_unexpected(model, official, key):
    with pytest.raises(ValueError, match=f'unexpected {key}'):
        convert({**official, key: torch.zeros(2)}, recognise(official), model)


@pytest.mark.parametrize('key', ['class_embeddings', 'decode_head.conv_seg.weight'])
def test_shape(model, official, key):
    weight = official[key]
    official[key] = torch.cat([weight, weight])
    with pytest.raises(ValueError, match=rf'{key} is \({2 * len(weight)}, .*, expected \({len(weight)}, '):
        convert(official, recognise(official), model)


def test_all_faults_are_counted_and_ten_are_shown(model, official):
    for key in [key for key in official if key.startswith('neck.')][:12]:
        del official[key]
    with pytest.raises(ValueError, match='12 weights do not fit') as error:
        convert(official, recognise(official), model)
    assert str(error.value).count('missing') == 10


@pytest.mark.parametrize('wrap', [dict, lambda w: dict(state_dict=w, meta={}), lambda w: dict(model=w, optimizer={})])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_unwrap(wrap, prefix):
    weights = {'gamma': torch.ones(2), 'neck.module.bias': torch.zeros(3)}
    assert unwrap(wrap({prefix + key: value for key, value in weights.items()})) == weights


def test_unknown_checkpoints_are_refused(official):
    for keys in (
        [],
        ['backbone.layer1.0.conv1.weight'],
        [key for key in official if not key.startswith('encoder_vq.')],
    ):
        with pytest.raises(ValueError, match=f'expected one of VPD segmentation.*; got {len(keys)} keys'):
            recognise(keys)
