import copy
import re

import pytest
import torch
import torch.nn.functional as F
from backbone_checks import check_copy, loss_of
from logs import heard
from mmengine.runner import load_checkpoint
from tiny_arch import write_diffusers_folder

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_unet, build_vae

PROMPTS = dict(type='ClassPrompts', classes=['wall', 'sky', 'tree'], adapter=dict(type='TextAdapter', gamma=0.1))
MAPS = dict(strides=(16, 32))
REFINED = dict(num_refine_steps=3, learned_timesteps=True)
IMAGES = (2, 3, 64, 96)


def build(arch, **options):
    return DiffusionUNet(arch, **{'prompts': PROMPTS, 'cross_attention': MAPS, **options})


def gradients(backbone):
    return {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}


@pytest.fixture(scope='module')
def diffusers_folder(arch, tmp_path_factory):
    """A diffusers folder with random weights, as a user would download one."""
    return write_diffusers_folder(tmp_path_factory.mktemp('stable_diffusion'), arch)


@pytest.mark.parametrize(
    ('name', 'strides', 'map_stride'),
    [
        ('sd1', (8, 16, 32, 64), 16),
        ('sd2', (8, 16, 32, 64), 32),
        ('three levels', (4, 8, 16), 8),
        ('one layer', (8, 16, 32, 64), 16),
        ('uneven layers', (8, 16, 32, 64), 32),
    ],
)
@pytest.mark.parametrize('size', [(64, 64), (128, 64), (1, 1), (7, 900), (333, 77)])
def test_declared_channels_and_strides_are_the_actual_ones(archs, name, strides, map_stride, size):
    backbone = build(archs[name], out_indices=range(len(strides)), cross_attention=dict(strides=[map_stride])).eval()
    assert backbone.out_strides == strides
    with torch.no_grad():
        features = backbone(torch.rand(2, 3, *size))
    for feature, channels, stride in zip(features, backbone.out_channels, strides, strict=True):
        assert feature.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        assert torch.isfinite(feature).all()


def test_maps_of_the_middle_block(arch):
    backbone = build(arch, out_indices=(1, 3), cross_attention=dict(strides=(64,), blocks=('mid',))).eval()
    assert backbone.out_channels == (16, 40 + 3)
    with torch.no_grad():
        finer, coarsest = backbone(torch.rand(IMAGES))
    assert finer.shape == (2, 16, 4, 6) and coarsest.shape == (2, 43, 1, 2)
    torch.testing.assert_close(coarsest[:, 40:].sum(1), torch.ones(2, 1, 2))


@pytest.mark.parametrize(
    ('name', 'out_indices'), [('sd1', (0,)), ('sd1', (1,)), ('sd1', (2, 0)), ('sd1', (3,)), ('one layer', (1, 3))]
)
def test_any_levels_are_those_of_the_whole_pyramid(archs, name, out_indices):
    whole = build(archs[name], out_indices=(0, 1, 2, 3), cross_attention=None).eval()
    some = build(archs[name], out_indices=out_indices, cross_attention=None).eval()
    kept = some.state_dict().keys()
    some.load_state_dict({key: value for key, value in whole.state_dict().items() if key in kept})
    images = torch.rand(1, 3, 72, 40)
    with torch.no_grad():
        expected, features = whole(images), some(images)
    assert some.out_channels == tuple(whole.out_channels[index] for index in out_indices)
    assert some.out_strides == tuple(whole.out_strides[index] for index in out_indices)
    for feature, index in zip(features, out_indices, strict=True):
        torch.testing.assert_close(feature, expected[index])


@pytest.mark.parametrize('cross_attention', [None, MAPS])
def test_resized_features_are_those_of_the_levels(archs, cross_attention):
    """Also of a level that is asked for twice, and of one with maps; the strides of these are those of the levels."""
    options = dict(cross_attention=cross_attention)
    plain = build(archs['sd1'], out_indices=(2, 1), **options).eval()
    resized = build(archs['sd1'], out_indices=(2, 1, 1), out_strides=(16, 8, 32), **options).eval()
    resized.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 72, 40)
    with torch.no_grad():
        coarse, fine = plain(images)
        found = resized(images)
    assert resized.out_strides == (16, 8, 32)
    assert resized.out_channels == tuple(plain.out_channels[index] for index in (0, 1, 1))
    assert [tuple(feature.shape[2:]) for feature in found] == [(5, 3), (9, 5), (3, 2)]
    for feature, level in ((found[0], coarse), (found[1], fine)):  # these grow
        torch.testing.assert_close(feature, F.interpolate(level, feature.shape[2:], mode='bilinear'))
    torch.testing.assert_close(
        found[2][..., 2, 1], fine[..., 3:5, 1:3].mean((2, 3))
    )  # this one shrinks, 5 x 3 to 3 x 2


def test_resized_features_go_not_with_resized_skips(archs):
    with pytest.raises(ValueError, match='resize_skips=True.*cross_attention.*out_strides'):
        build(archs['sd1'], resize_skips=True, cross_attention=None, out_strides=(4, 8, 16, 32))


FULL, LORA, FROZEN = {}, dict(lora=dict(r=2)), dict(frozen=True)


@pytest.mark.parametrize(
    ('options', 'out_indices'),
    [
        (FULL, (0, 1, 2, 3)),
        (FULL, (1,)),
        (FULL, (2,)),
        (FULL, (3,)),
        (LORA, (0, 2)),
        (LORA, (1, 3)),
        (FROZEN, (0, 3)),
        (REFINED, (0, 3)),
        (dict(learned_timesteps=True), (1, 2)),
        (dict(frozen=True, **REFINED), (0,)),
    ],
)
def test_all_that_trains_gets_a_gradient(arch, out_indices, options):
    backbone = build(arch, out_indices=out_indices, cross_attention=None, **options).train()
    loss_of(backbone(torch.rand(IMAGES))).backward()
    trainable = {name for name, weight in backbone.named_parameters() if weight.requires_grad}
    assert set(gradients(backbone)) == trainable
    assert not any(name.startswith('autoencoder.') for name in trainable)
    assert any(name.startswith('prompts.adapter.') for name in trainable)
    unet = {name for name in trainable if name.startswith('unet.')}
    if options.get('frozen'):
        assert not unet
    elif 'lora' in options:
        assert unet and all('.lora_' in name for name in unet)
    else:
        assert len(unet) == len(list(backbone.unet.parameters()))


def test_out_indices_without_a_level_build_no_finer_one(arch):
    names = dict(build(arch, out_indices=(2, 3), cross_attention=None).unet.named_modules())
    assert 'up_blocks.1.attentions.1' in names
    assert not {'up_blocks.1.attentions.2', 'up_blocks.1.upsamplers.0', 'up_blocks.2'} & set(names)


@pytest.mark.parametrize('with_grad', [False, True])
def test_checkpointing_changes_neither_loss_nor_gradients(arch, with_grad):
    plain = build(arch, cross_attention=dict(MAPS, with_grad=with_grad)).train()
    saving = build(arch, cross_attention=dict(MAPS, with_grad=with_grad), with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    images = torch.rand(IMAGES)
    losses = [loss_of(backbone(images)) for backbone in (plain, saving)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0])
    expected = gradients(plain)
    for name, gradient in gradients(saving).items():
        torch.testing.assert_close(gradient, expected.pop(name), msg=name)
    assert not expected


def test_bf16_autocast(arch):
    backbone = build(arch).train()
    images = torch.rand(IMAGES)
    exact = backbone(images)
    with torch.autocast('cpu', torch.bfloat16):
        features = backbone(images)
        loss_of(features).backward()
    for feature, expected in zip(features, exact, strict=True):
        assert (feature.float() - expected).norm() < 0.05 * expected.norm()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(backbone).values())


def test_a_copy_has_taps_and_maps_of_its_own(arch):
    check_copy(build(arch).eval(), torch.rand(IMAGES))


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['aot_eager', 'inductor'])
def test_compiled(arch, backend):
    backbone = build(arch).eval()
    images = torch.rand(IMAGES)
    with torch.no_grad():
        expected = backbone(images)
        for feature, same in zip(
            torch.compile(backbone, backend=backend, fullgraph=True)(images), expected, strict=True
        ):
            torch.testing.assert_close(feature, same, rtol=1e-4, atol=1e-5)


def test_out_prompts(arch):
    backbone = build(arch, out_indices=(1, 3), cross_attention=dict(strides=(16,)), out_prompts=True).eval()
    *features, prompts = backbone(torch.rand(IMAGES))
    assert len(features) == len(backbone.out_channels) == 2
    torch.testing.assert_close(prompts, backbone.prompts(2))
    assert prompts.shape == (2, 3, 12)


def test_prompts_and_timestep_and_scale_reach_the_unet(arch):
    torch.manual_seed(1)
    backbone = build(arch).eval()
    images = torch.rand(IMAGES)
    with torch.no_grad():
        features = backbone(images)
        latents = backbone.autoencoder.encode(images)
        seen = {}
        backbone.unet.register_forward_pre_hook(
            lambda module, args, kwargs: seen.update(args=args, **kwargs), with_kwargs=True
        )
        backbone.timestep = 500
        later = backbone(images)
    assert seen['args'][1] == 500
    torch.testing.assert_close(seen['args'][0], latents)
    torch.testing.assert_close(seen['encoder_hidden_states'], backbone.prompts(2))
    assert (features[0] - later[0]).norm() > 1e-4 * features[0].norm()
    scaled = build(arch, scale_latents=True).autoencoder
    scaled.load_state_dict(backbone.autoencoder.state_dict())
    torch.testing.assert_close(scaled.encode(images), latents * 0.18215)


def test_conditions_reach_the_prompts(arch):
    """One prompt per image, so one map per image too."""
    prompts = dict(type='ScenePrompts', classes=['kitchen', 'cafe'], adapter=dict(type='TextAdapter', gamma=0.1))
    backbone = build(arch, prompts=prompts, out_prompts=True).eval()
    assert backbone.class_embed_select
    assert backbone.out_channels == (8, 16 + 1, 24 + 1, 40)
    images = torch.rand(1, 3, 64, 96).repeat(3, 1, 1, 1)
    with torch.no_grad():
        *features, embeds = backbone((images, torch.tensor([1, 0, -1])))
        *means, _ = backbone(images)
    torch.testing.assert_close(embeds, backbone.prompts(3, [1, 0, -1]))
    for feature, mean in zip(features, means, strict=True):
        torch.testing.assert_close(feature[2], mean[0])
        assert not torch.allclose(feature[0], feature[1])
    torch.testing.assert_close(features[1][:, -1], torch.ones(3, 4, 6))  # the softmax over a single prompt


def test_prompts_of_classes_take_no_conditions(arch):
    backbone = build(arch)
    assert not backbone.class_embed_select
    with pytest.raises(ValueError, match='ClassPrompts.*condition'):
        backbone((torch.rand(IMAGES), torch.tensor([0, 1])))


def test_default_prompt_is_the_empty_one(arch):
    backbone = DiffusionUNet(arch)
    assert backbone.prompts.classes == ('',) and backbone.prompts.templates == ('{}',)


def test_frozen_parts_stay_in_eval_mode(arch):
    backbone = build(arch, frozen=True).train()
    assert backbone.training and backbone.prompts.training
    assert not any(module.training for module in backbone.unet.modules())
    assert not any(module.training for module in backbone.autoencoder.modules())
    trained = build(arch).train()
    assert trained.unet.training and not trained.autoencoder.vae.training


@pytest.mark.parametrize(
    'options',
    [{}, dict(lora=dict(r=2)), dict(out_indices=(2, 3), cross_attention=None), REFINED],
    ids=['full', 'lora', 'subset', 'refined'],
)
def test_init_cfg_loads_all_from_a_diffusers_folder(arch, diffusers_folder, options):
    backbone = build(arch, init_cfg=dict(type='Pretrained', checkpoint=diffusers_folder), **options)
    backbone.init_weights()
    source = type(build_unet(arch)).from_pretrained(f'{diffusers_folder}/unet').state_dict()
    loaded = {name.replace('.base_layer', ''): weight for name, weight in backbone.unet.state_dict().items()}
    base = {name for name in loaded if '.lora_' not in name}
    assert base <= set(source) and len(base) > 100
    for name in base:
        torch.testing.assert_close(loaded[name], source[name], rtol=0, atol=0)
    vae = type(build_vae(arch)).from_pretrained(f'{diffusers_folder}/vae').state_dict()
    for name, weight in backbone.autoencoder.vae.state_dict().items():
        torch.testing.assert_close(weight, vae[name], rtol=0, atol=0)


def test_init_cfg_computes_the_prompts_with_the_folders_own_text_encoder(arch, diffusers_folder):
    backbone = build(arch, init_cfg=dict(type='Pretrained', checkpoint=diffusers_folder))
    backbone.prompts.templates = ('a {}', '{} there')
    backbone.init_weights()
    text_encoder = build_text_encoder(arch).from_pretrained(f'{diffusers_folder}/text_encoder')
    tokens = build_tokenizer(arch)(['a sky', 'sky there'], padding='max_length', max_length=20, return_tensors='pt')
    expected = text_encoder(tokens.input_ids).pooler_output.mean(0)
    torch.testing.assert_close(backbone.prompts.embeddings[1], expected)


def test_init_cfg_locates_its_checkpoint_once(arch, tmp_path, caplog):
    """So the warning of a part without the variant comes once, too."""
    build_unet(arch).half().save_pretrained(tmp_path / 'unet', variant='fp16')
    build_vae(arch).half().save_pretrained(tmp_path / 'vae', variant='fp16')
    build_text_encoder(arch).save_pretrained(tmp_path / 'text_encoder')
    backbone = build(arch, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path), variant='fp16'))
    with heard(caplog):
        backbone.init_weights()
    assert sum("'text_encoder'" in message for message in caplog.messages) == 1


@pytest.mark.parametrize('init_cfg', [None, dict(type='Normal', layer='Conv2d', std=0.1)], ids=['none', 'other'])
@pytest.mark.parametrize('kind', ['ClassPrompts', 'ScenePrompts'])
def test_ready_prompts_are_read_without_other_weights(arch, tmp_path, kind, init_cfg):
    embeddings = torch.randn(2, 12)
    torch.save(embeddings, tmp_path / 'ready.pth')
    prompts = dict(type=kind, classes=['cafe', 'office'], embeddings=str(tmp_path / 'ready.pth'))
    backbone = build(arch, prompts=prompts, init_cfg=init_cfg)
    backbone.init_weights()
    torch.testing.assert_close(backbone.prompts.embeddings, embeddings, rtol=0, atol=0)


@pytest.mark.parametrize('kind', ['ClassPrompts', 'MetaPrompts', 'TextPrompts'])
def test_prompts_without_a_source_stay_as_they_are(arch, kind):
    options = dict(ClassPrompts=dict(classes=['sky']), MetaPrompts=dict(num_prompts=5), TextPrompts=dict(max_length=9))
    backbone = build(arch, prompts=dict(type=kind, **options[kind]), cross_attention=None)
    before = copy.deepcopy(backbone.prompts.state_dict())
    backbone.init_weights()
    for name, weight in backbone.prompts.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ('prompts', 'parts'),
    [
        (PROMPTS, ['unet', 'vae', 'text_encoder', 'tokenizer']),
        (dict(type='MetaPrompts', num_prompts=5), ['unet', 'vae']),
        (dict(PROMPTS, embeddings='ready.pth'), ['unet', 'vae']),
    ],
    ids=['class names', 'learned', 'ready'],
)
def test_all_that_is_to_be_downloaded_is_told_at_once(arch, tmp_path, monkeypatch, prompts, parts):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    backbone = build(arch, prompts=prompts, init_cfg=dict(type='Pretrained', checkpoint='some/name'))
    include = ' '.join(f'"{part}/*"' for part in parts)
    with pytest.raises(RuntimeError, match=re.escape(f'`hf download some/name --include {include}`')):
        backbone.init_weights()


def test_components_leaves_the_other_parts_alone(arch, diffusers_folder):
    init_cfg = dict(type='Pretrained', checkpoint=diffusers_folder, components=['vae'])
    backbone = build(arch, init_cfg=init_cfg)
    unet = copy.deepcopy(backbone.unet.state_dict())
    vae = backbone.autoencoder.vae.encoder.conv_in.weight.clone()
    backbone.init_weights()
    for name, weight in backbone.unet.state_dict().items():
        torch.testing.assert_close(weight, unet[name], rtol=0, atol=0)
    assert not torch.equal(backbone.autoencoder.vae.encoder.conv_in.weight, vae)


def test_lora_changes_nothing_before_training(arch):
    plain, adapted = build(arch).eval(), build(arch, lora=dict(r=3)).eval()
    state_dict = adapted.state_dict()
    for name, weight in plain.state_dict().items():
        wrapped = name.replace('.weight', '.base_layer.weight').replace('.bias', '.base_layer.bias')
        state_dict[wrapped if wrapped in state_dict else name] = weight
    adapted.load_state_dict(state_dict)
    assert {weight.shape[0] for name, weight in state_dict.items() if '.lora_A' in name} == {3}
    images = torch.rand(IMAGES)
    with torch.no_grad():
        for feature, expected in zip(adapted(images), plain(images), strict=True):
            torch.testing.assert_close(feature, expected)


def test_lora_of_a_frozen_network_has_its_dropout(arch):
    backbone = build(arch, lora=dict(r=2, lora_dropout=0.5), frozen=True).train()
    training = {name for name, module in backbone.unet.named_modules() if module.training}
    assert training and all('.lora_dropout' in name for name in training)
    assert not any(module.training for module in backbone.eval().unet.modules())


@pytest.mark.parametrize('options', [dict(use_dora=True), dict(init_lora_weights='pissa')])
def test_lora_that_needs_the_weights_of_the_base_is_refused(arch, options):
    with pytest.raises(ValueError, match='|'.join(options)):
        build(arch, lora=dict(r=2, **options))


def test_lora_targets(arch):
    backbone = build(arch, lora=dict(r=2, target_modules=['to_v']))
    trained = [name for name, weight in backbone.unet.named_parameters() if weight.requires_grad]
    assert trained and all('.to_v.lora_' in name for name in trained)


def test_a_checkpoint_restores_the_model_without_any_other_file(arch, diffusers_folder, tmp_path):
    trained = build(arch, init_cfg=dict(type='Pretrained', checkpoint=diffusers_folder)).eval()
    trained.init_weights()
    torch.save(dict(state_dict=trained.state_dict(), meta={}), tmp_path / 'trained.pth')
    restored = build(arch, init_cfg=dict(type='Pretrained', checkpoint='/not/there')).eval()
    load_checkpoint(restored, str(tmp_path / 'trained.pth'), map_location='cpu')
    images = torch.rand(IMAGES)
    with torch.no_grad():
        for feature, expected in zip(restored(images), trained(images), strict=True):
            torch.testing.assert_close(feature, expected, rtol=0, atol=0)


def test_an_incomplete_checkpoint_is_refused(arch, tmp_path):
    backbone = build(arch)
    state_dict = backbone.state_dict()
    del state_dict['unet.conv_in.weight'], state_dict['prompts.embeddings']
    torch.save(dict(state_dict=state_dict), tmp_path / 'part.pth')
    with pytest.raises(RuntimeError, match=r'2.*unet\.conv_in\.weight'):
        load_checkpoint(build(arch), str(tmp_path / 'part.pth'), map_location='cpu', strict=False)


def test_a_checkpoint_of_another_rank_is_refused_unless_training_goes_on(arch, diffusers_folder, tmp_path):
    torch.save(dict(state_dict=build(arch, lora=dict(r=3)).state_dict()), tmp_path / 'rank3.pth')
    message = r'unet\..*lora_A.*\(2, 8\).*\(3, 8\)'
    with pytest.raises(RuntimeError, match=message):
        load_checkpoint(build(arch, lora=dict(r=2)), str(tmp_path / 'rank3.pth'), map_location='cpu')
    ready = build(arch, lora=dict(r=2), init_cfg=dict(type='Pretrained', checkpoint=diffusers_folder))
    ready.init_weights()
    load_checkpoint(ready, str(tmp_path / 'rank3.pth'), map_location='cpu')


def test_a_checkpoint_of_another_model_is_refused_unless_weights_are_there(arch, diffusers_folder, tmp_path):
    torch.save(dict(state_dict={'decode_head.weight': torch.zeros(3)}), tmp_path / 'head.pth')
    with pytest.raises(RuntimeError, match='DiffusionUNet.*conv_in'):
        load_checkpoint(build(arch), str(tmp_path / 'head.pth'), map_location='cpu')
    ready = build(arch, init_cfg=dict(type='Pretrained', checkpoint=diffusers_folder))
    ready.init_weights()
    load_checkpoint(ready, str(tmp_path / 'head.pth'), map_location='cpu')


def test_prefix_means_a_checkpoint_of_openmmlab(arch, tmp_path):
    source, target = build(arch), None
    state_dict = {f'backbone.{name}': weight for name, weight in source.state_dict().items()}
    torch.save(dict(state_dict=state_dict), tmp_path / 'segmentor.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'segmentor.pth'), prefix='backbone.')
    target = build(arch, prompts=dict(PROMPTS, embeddings='not_read.pth'), init_cfg=init_cfg)
    target.init_weights()
    for name, weight in target.state_dict().items():
        torch.testing.assert_close(weight, source.state_dict()[name], rtol=0, atol=0)


def test_a_prefix_that_no_weight_has(arch, tmp_path):
    torch.save(dict(state_dict={'backbone.weight': torch.zeros(2)}), tmp_path / 'segmentor.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'segmentor.pth'), prefix='nope.')
    with pytest.raises(ValueError, match=r'init_cfg=.*nope\.'):
        build(arch, init_cfg=init_cfg).init_weights()


@pytest.mark.parametrize('out_indices', [(0, 4), (5,)])
def test_a_level_that_does_not_exist(arch, out_indices):
    with pytest.raises(ValueError, match=r'\[0, 1, 2, 3\].*3: 64'):
        build(arch, out_indices=out_indices)


@pytest.mark.parametrize(
    ('strides', 'message'),
    [
        ((16, 24), r'\[24\].*\[8, 16, 32, 64\]'),
        ((64,), r'\[64\].*\[8, 16, 32\]'),
    ],
)
def test_a_stride_that_does_not_exist(arch, strides, message):
    with pytest.raises(ValueError, match=message):
        build(arch, cross_attention=dict(strides=strides))


def test_maps_of_a_level_that_is_not_returned(arch):
    with pytest.raises(ValueError, match=r'\[16\].*out_indices'):
        build(arch, out_indices=(0, 2, 3), cross_attention=MAPS)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(out_indices=(-1,)), 'out_indices=(-1,)'),
        (dict(out_indices=()), 'out_indices=()'),
        (dict(out_indices=3), 'out_indices=3'),
        (dict(out_indices='01'), "out_indices='01'"),
        (dict(timestep=True), 'timestep=True'),
        (dict(frozen='False'), "frozen='False'"),
        (dict(cross_attention=dict(strides=(16, 16))), 'strides=(16, 16)'),
        (dict(cross_attention=dict(strides=(16.0,))), 'strides=(16.0,)'),
        (dict(lora=dict(r=0)), 'lora.r=0'),
        (dict(lora=dict(r=2, lora_alpha=float('nan'))), 'lora.lora_alpha=nan'),
        (dict(lora=dict(r=2, lora_dropout=-0.1)), 'lora.lora_dropout=-0.1'),
        (
            dict(lora=dict(target_modules='(')),
            "lora.target_modules='('",
        ),
        (dict(lora=dict(r=2, target_modules=['nope'])), 'nope'),
        (dict(lora=dict(rang=2)), "lora={'rang': 2}"),
        (dict(timestep=5000), 'timestep=5000'),
        (dict(num_refine_steps=1.5), 'num_refine_steps=1.5'),
        (dict(lora=True), 'lora=True'),
        (dict(prompts=dict(classes=['sky'])), "prompts={'classes': ['sky']}"),
        (dict(prompts='ClassPrompts'), "prompts='ClassPrompts'"),
        (dict(prompts=dict(PROMPTS, embed_dims=13)), 'embed_dims=13'),
        (dict(cross_attention=dict(strides=())), 'strides=()'),
        (dict(cross_attention=dict(strides=16)), 'strides=16'),
        (dict(init_cfg='tiny-sd'), "init_cfg='tiny-sd'"),
        (dict(init_cfg=dict(type='Pretrained')), "init_cfg={'type': 'Pretrained'}"),
    ],
)
def test_bad_configuration_does_not_build(arch, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(arch, **options)


def test_no_architecture():
    with pytest.raises(ValueError, match="arch=None.*'sd1-4'"):
        DiffusionUNet(arch=None)


@torch.no_grad()
def test_latents_are_sampled_in_training_only(arch):
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    torch.manual_seed(0)
    backbone = DiffusionUNet(arch, sample_latents=True)
    backbone.train()
    first, second = backbone(images), backbone(images)
    assert all((one != other).any() for one, other in zip(first, second, strict=True))
    backbone.eval()
    plain = DiffusionUNet(arch).eval()
    plain.load_state_dict(backbone.state_dict())
    for tested, again, expected in zip(backbone(images), backbone(images), plain(images), strict=True):
        assert torch.equal(tested, again) and torch.equal(tested, expected)
