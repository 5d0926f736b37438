import pytest
import torch
from compvis_names import in_compvis_names
from mmengine.registry import MODELS, init_default_scope

from mmdiffperc.weights.official_checkpoints import convert, recognise, unwrap, without_mean

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


@pytest.fixture(scope='module')
def depth_model(archs):
    init_default_scope('mmseg')
    import mmdiffperc.seg  # noqa: F401

    prompts = dict(PROMPTS, type='ScenePrompts')
    head = dict(in_channels=[16, 24, 32, 40], embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4))
    return MODELS.build(
        dict(
            type='DiffusionDepthEstimator',
            backbone=dict(type='DiffusionUNet', arch=archs['sd2'], prompts=prompts),
            decode_head=dict(type='AnySizeDepthHead', **head),
        )
    )


def of_prompts(prefix):
    names = {'embeddings': 'class_embeddings', 'adapter.gamma': 'gamma', 'adapter.mlp': 'text_adapter.fc'}
    return {f'backbone.prompts.{ours}': prefix + theirs for ours, theirs in names.items()}


@pytest.fixture
def official(model):
    """The weights of `model` as the official code for segmentation saves them."""
    unused = {'sd_model.betas': torch.zeros(9), 'unet.unet.diffusion_model.out.0.weight': torch.zeros(8)}
    return {**unused, **in_compvis_names(model, '', of_prompts(''))}


@pytest.fixture
def official_depth(depth_model):
    """The weights of `depth_model` as the official code for depth saves them."""
    head = {
        'decode_head.conv1': 'encoder.layer1',
        'decode_head.conv2': 'encoder.layer2.0',
        'decode_head.conv_aggregation': 'encoder.out_layer',
        'decode_head.decoder': 'decoder',
        'decode_head.depth_pred_layer': 'last_layer_depth',
    }
    weights = in_compvis_names(depth_model, 'encoder.', {**of_prompts('encoder.'), **head})
    return {'encoder.encoder_vq.post_quant_conv.bias': torch.zeros(4), **weights}


@pytest.fixture
def mmseg_depth(depth_model):
    """The weights of `depth_model` as mmseg's VPD saves them, with the whole autoencoder and the mean embedding."""
    weights = in_compvis_names(depth_model, 'backbone.', of_prompts('backbone.'))
    embeddings = weights['backbone.class_embeddings']
    weights['backbone.class_embeddings'] = torch.cat([embeddings, embeddings.mean(0, keepdim=True)])
    unused = ('encoder_vq.decoder.conv_in', 'encoder_vq.post_quant_conv', 'unet.unet.diffusion_model.out.0')
    return {**{f'backbone.{module}.bias': torch.zeros(4) for module in unused}, **weights}


@pytest.mark.parametrize('kind', ['official_depth', 'mmseg_depth'])
def test_every_weight_for_depth_finds_its_place(depth_model, kind, request):
    weights = request.getfixturevalue(kind)
    layout = recognise(weights)
    assert layout.name == dict(official_depth='VPD depth', mmseg_depth='VPD depth of mmsegmentation')[kind]
    converted = convert(weights, layout, depth_model)
    expected = depth_model.state_dict()
    assert set(converted) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(converted[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('kind', 'key', 'name'),
    [
        ('official_depth', 'encoder.gamma', 'backbone.prompts.adapter.gamma'),
        ('official_depth', 'encoder.layer2.0.bias', 'decode_head.conv2.bias'),
        ('official_depth', 'last_layer_depth.2.weight', 'decode_head.depth_pred_layer.2.weight'),
        ('mmseg_depth', 'backbone.text_adapter.fc.2.bias', 'backbone.prompts.adapter.mlp.2.bias'),
        ('mmseg_depth', 'backbone.encoder_vq.quant_conv.bias', 'backbone.autoencoder.vae.quant_conv.bias'),
    ],
)
def test_missing_for_depth(depth_model, kind, key, name, request):
    weights = request.getfixturevalue(kind)
    del weights[key]
    with pytest.raises(ValueError, match=rf'(?s)1.*missing.*{key}.*{name}'):
        convert(weights, recognise(weights), depth_model)


@pytest.mark.parametrize(
    ('kind', 'key'), [('official_depth', 'encoder.layer3.0.bias'), ('mmseg_depth', 'backbone.unet.unet.extra')]
)
def test_unexpected_for_depth(depth_model, kind, key, request):
    weights = {**request.getfixturevalue(kind), key: torch.zeros(2)}
    with pytest.raises(ValueError, match=f'(?s)1.*unexpected.*{key}'):
        convert(weights, recognise(weights), depth_model)


def test_a_row_more_that_is_not_the_mean(depth_model, mmseg_depth):
    mmseg_depth['backbone.class_embeddings'][-1] += 1
    with pytest.raises(ValueError, match=r'class_embeddings.*\(4, 20\).*\(3, 20\)'):
        convert(mmseg_depth, recognise(mmseg_depth), depth_model)


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
    with pytest.raises(ValueError, match=rf'(?s)VPD.*1.*missing.*{key}.*{name}'):
        convert(official, layout, model)


@pytest.mark.parametrize('key', ['decode_head.extra.weight', 'unet.unet.diffusion_model.output_blocks.12.0.bias'])
def test_unexpected(model, official, key):
    with pytest.raises(ValueError, match=f'unexpected.*{key}'):
        convert({**official, key: torch.zeros(2)}, recognise(official), model)


@pytest.mark.parametrize('key', ['class_embeddings', 'decode_head.conv_seg.weight'])
def test_shape(model, official, key):
    weight = official[key]
    official[key] = torch.cat([weight, weight])
    with pytest.raises(ValueError, match=rf'{key}.*\({2 * len(weight)}.*\({len(weight)}'):
        convert(official, recognise(official), model)


def test_all_faults_are_counted_and_ten_are_shown(model, official):
    for key in [key for key in official if key.startswith('neck.')][:12]:
        del official[key]
    with pytest.raises(ValueError, match=r'\b12\b') as error:
        convert(official, recognise(official), model)
    assert str(error.value).count('missing') == 10


@pytest.mark.parametrize('wrap', [dict, lambda w: dict(state_dict=w, meta={}), lambda w: dict(model=w, optimizer={})])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_unwrap(wrap, prefix):
    weights = {'gamma': torch.ones(2), 'neck.module.bias': torch.zeros(3)}
    assert unwrap(wrap({prefix + key: value for key, value in weights.items()})) == weights


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        (torch.zeros(3), 'Tensor'),
        ([1, 2], 'list'),
        ({0: torch.zeros(3), 'gamma': torch.zeros(2)}, r"\(0, 'gamma'\)"),
        (dict(model={7: torch.zeros(3)}), r'\(7\)'),
    ],
)
def test_what_holds_no_weights_by_their_names(content, found):
    with pytest.raises(ValueError, match=found):
        unwrap(content)


def test_unknown_checkpoints_are_refused(official):
    for keys in (
        [],
        ['backbone.layer1.0.conv1.weight'],
        [key for key in official if not key.startswith('encoder_vq.')],
    ):
        with pytest.raises(ValueError, match=f'VPD.*{len(keys)}'):
            recognise(keys)


@pytest.fixture(scope='module')
def build_meta_prompts(archs):
    """Build MetaPrompts for segmentation with so many passes."""

    def build(num_refine_steps):
        init_default_scope('mmseg')
        import mmseg.models  # noqa: F401

        backbone = dict(
            type='DiffusionUNet',
            arch=archs['sd1'],
            prompts=dict(type='MetaPrompts', num_prompts=5),
            num_refine_steps=num_refine_steps,
            learned_timesteps=True,
            out_prompts=True,
        )
        neck = dict(type='MetaPromptsNeck', in_channels=[8, 16, 24, 40], num_prompts=5, embed_dims=12, num_groups=4)
        head = dict(type='UPerHead', in_channels=[5] * 4, in_index=[0, 1, 2, 3], channels=8, num_classes=3)
        return MODELS.build(dict(type='EncoderDecoder', backbone=backbone, neck=neck, decode_head=head))

    return build


def official_meta_prompts(model):
    """The weights of `model` as the official code saves them; the output layer is there even if it is never used."""
    renamed = {
        r'backbone\.prompts\.embeddings\.0': 'meta_prompts',
        **{rf'backbone\.learned_timesteps\.{index}': f't{index + 1}' for index in range(3)},
        **{rf'neck\.levels\.{index}': f'upconv{index + 1}' for index in range(4)},
    }
    weights = {
        'unet.unet.diffusion_model.out.0.weight': torch.zeros(8),
        'unet.unet.diffusion_model.time_embed.0.bias': torch.zeros(8),
        **in_compvis_names(model, '', renamed),
    }
    for step in range(2, model.backbone.num_refine_steps + 1):
        weights[f'cross_unet_conv{step}.0.weight'] = weights['unet.unet.diffusion_model.out.0.weight']
    return weights


@pytest.mark.parametrize('num_refine_steps', [1, 3])
def test_every_weight_of_meta_prompts_finds_its_place(build_meta_prompts, num_refine_steps):
    model = build_meta_prompts(num_refine_steps)
    weights = official_meta_prompts(model)
    layout = recognise(weights)
    assert layout.name == 'MetaPrompts segmentation'
    converted, expected = convert(weights, layout, model), model.state_dict()
    assert set(converted) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(converted[name], weight, rtol=0, atol=0)


def test_meta_prompts_with_another_number_of_passes(build_meta_prompts):
    one, three = build_meta_prompts(1), build_meta_prompts(3)
    weights = official_meta_prompts(three)
    with pytest.raises(ValueError, match='(?s)2.*unexpected.*t2.*unexpected.*t3'):
        convert(weights, recognise(weights), one)
    weights = official_meta_prompts(one)
    with pytest.raises(ValueError, match=r'missing.*t2.*backbone\.learned_timesteps\.1'):
        convert(weights, recognise(weights), three)


@pytest.fixture(scope='module')
def meta_prompts_depth(archs):
    """MetaPrompts for depth with two passes."""
    init_default_scope('mmseg')
    import mmdiffperc.seg  # noqa: F401

    prompts = dict(type='MetaPrompts', num_prompts=5, shared=False, adapter=dict(type='TextAdapter', gamma=None))
    backbone = dict(type='DiffusionUNet', arch=archs['sd2'], prompts=prompts)
    passes = dict(num_refine_steps=2, learned_timesteps=True, out_prompts=True)
    neck = dict(type='MetaPromptsDepthNeck', in_channels=[16, 24, 32, 40], num_prompts=5, embed_dims=20, num_groups=4)
    head = dict(type='MetaPromptsDepthHead', in_channels=5, channels=6)
    return MODELS.build(
        dict(type='DiffusionDepthEstimator', backbone={**backbone, **passes}, neck=neck, decode_head=head)
    )


def test_every_weight_of_meta_prompts_for_depth_finds_its_place(meta_prompts_depth):
    renamed = {
        r'backbone\.prompts\.embeddings\.(\d)': lambda found: f'encoder.meta_prompts{int(found[1]) + 1}',
        r'backbone\.prompts\.adapters\.(\d)\.mlp': lambda found: f'encoder.text_adapter{int(found[1]) + 1}.fc',
        r'backbone\.learned_timesteps\.(\d)': lambda found: f'encoder.t{int(found[1]) + 1}',
        r'neck\.levels\.(\d)': lambda found: f'encoder.layer{int(found[1]) + 1}',
        r'neck\.join': 'encoder.out_layer',
        r'decode_head\.decoder': 'decoder',
        r'decode_head\.depth_pred_layer': 'last_layer_depth',
    }
    weights = in_compvis_names(meta_prompts_depth, 'encoder.', renamed)
    weights['encoder.cross_unet_conv2.2.bias'] = weights['encoder.unet.unet.diffusion_model.out.2.bias']
    layout = recognise(weights)
    assert layout.name == 'MetaPrompts depth'
    converted, expected = convert(weights, layout, meta_prompts_depth), meta_prompts_depth.state_dict()
    assert set(converted) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(converted[name], weight, rtol=0, atol=0)
    del weights['encoder.meta_prompts2']
    with pytest.raises(ValueError, match=r'missing.*encoder.meta_prompts2.*backbone.prompts.embeddings.1'):
        convert(weights, layout, meta_prompts_depth)


def test_without_mean_leaves_a_last_row_that_is_not_the_mean():
    embeddings = torch.eye(4)
    assert without_mean(embeddings, 3) is embeddings
    assert without_mean(embeddings, 4) is embeddings
