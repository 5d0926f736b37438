"""``taps`` of :class:`DiffusionUNet`, several timesteps, and noise."""

import json
import re

import pytest
import torch
import torch.nn.functional as F
from backbone_checks import check_copy, loss_of
from mmengine.registry import MODELS
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import arch_folder, build_unet, build_vae
from mmdiffperc.weights.lora import add_attention_lora, load_lora, save_lora

PROMPTS = dict(type='MetaPrompts', num_prompts=5)
IMAGES = (2, 3, 72, 40)  # latents of 9 x 5
MIDDLE = 'up_blocks.1.attentions.1'
BLOCK = f'{MIDDLE}.transformer_blocks.0'
KEYS = f'{BLOCK}.attn1.to_k'
HIDDEN = dict(module=f'{BLOCK}.norm2', tensor='input')
TAPS = [KEYS, 'mid_block', HIDDEN, 'down_blocks.0.resnets.1', dict(module=['up_blocks.2.resnets.0', 'down_blocks.0'])]


def build(arch, **options):
    return DiffusionUNet(arch, **{'prompts': PROMPTS, 'taps': TAPS, **options})


def with_weights(backbone, source):
    """The backbone with those weights of a larger one that it has, also where an adapter wraps a layer."""
    names = {name: name.replace('.base_layer', '') for name in backbone.state_dict() if '.lora_' not in name}
    weights = backbone.state_dict() | {name: source[plain] for name, plain in names.items()}
    backbone.load_state_dict(weights)
    return backbone


@pytest.fixture(scope='module')
def weights(arch):
    """Of the whole network."""
    torch.manual_seed(0)
    return build(arch, taps=['up_blocks.3']).state_dict()


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(1)
    return torch.rand(IMAGES) * 2 - 1


@pytest.fixture(scope='module')
def scheduled(tmp_path_factory):
    """An architecture with the noise schedule of SD 1.5."""
    folder = tmp_path_factory.mktemp('scheduled') / 'arch'
    write_arch(folder)
    (folder / 'scheduler').mkdir()
    config = json.loads((arch_folder('sd1-5') / 'scheduler/scheduler_config.json').read_text())
    (folder / 'scheduler/scheduler_config.json').write_text(json.dumps(config))
    return str(folder)


def test_declared_channels_and_strides_are_the_actual_ones(arch, images):
    backbone = build(arch).eval()
    assert backbone.out_strides == (32, 64, 32, 8, 16)
    assert backbone.out_channels == (24, 40, 24, 8, 16 + 8)
    with torch.no_grad():
        features = backbone(images)
    sizes = [(3, 2), (2, 1), (3, 2), (9, 5), (5, 3)]
    for feature, channels, size in zip(features, backbone.out_channels, sizes, strict=True):
        assert feature.shape == (2, channels, *size)


def test_features_are_those_of_the_network_of_diffusers(arch, images, weights):
    backbone = with_weights(build(arch), weights).eval()
    unet, seen = build_unet(arch).eval(), {}
    unet.load_state_dict({name[5:]: weight for name, weight in weights.items() if name[:5] == 'unet.'}, strict=False)
    for name in (KEYS, 'mid_block', 'down_blocks.0.resnets.1', 'up_blocks.2.resnets.0', 'down_blocks.0.downsamplers.0'):
        unet.get_submodule(name).register_forward_hook(lambda module, args, output, n=name: seen.update({n: output}))
    norm = unet.get_submodule(HIDDEN['module'])
    norm.register_forward_pre_hook(lambda module, args: seen.update(hidden=args[0]))
    with torch.no_grad():
        found = backbone(images)
        unet(backbone.autoencoder.encode(images), 1, backbone.prompts(2))
    keys, hidden = (seen[name].transpose(1, 2).reshape(2, 24, 3, 2) for name in (KEYS, 'hidden'))
    both = torch.cat([seen['up_blocks.2.resnets.0'], seen['down_blocks.0.downsamplers.0']], dim=1)
    expected = (keys, seen['mid_block'], hidden, seen['down_blocks.0.resnets.1'], both)
    for feature, same in zip(found, expected, strict=True):
        assert torch.equal(feature, same)


def test_the_default_pyramid_is_a_list_of_taps(arch, images, weights):
    modules = ['up_blocks.3', 'up_blocks.2.attentions.1', 'up_blocks.1.attentions.1', 'up_blocks.0.resnets.1']
    default, named = (with_weights(build(arch, taps=taps), weights).eval() for taps in (None, modules))
    assert default.out_channels == named.out_channels and default.out_strides == named.out_strides
    assert list(default.state_dict()) == list(named.state_dict())
    with torch.no_grad():
        for feature, same in zip(default(images), named(images), strict=True):
            assert torch.equal(feature, same)


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(lora=dict(r=2)),
        dict(lora=dict(r=2), frozen=True),
        dict(cross_attention=dict(strides=(32,), with_grad=True)),
        dict(learned_timesteps=True),
        dict(taps=[KEYS]),
        dict(taps=['down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v'], lora=dict(r=2)),
        dict(taps=['down_blocks.0.resnets.0']),
        dict(taps=['down_blocks.0.resnets.0'], out_prompts=True),
        dict(taps=[KEYS, 'up_blocks.3'], num_refine_steps=2),
        dict(timestep=(1, 50), taps=[KEYS, 'mid_block']),
    ],
    ids=str,
)
def test_all_that_trains_gets_a_gradient(arch, images, options):
    backbone = build(arch, **options).train()
    loss_of(backbone(images)).backward()
    trained = [name for name, weight in backbone.named_parameters() if weight.requires_grad]
    assert trained and not [name for name in trained if backbone.get_parameter(name).grad is None]


def test_a_tap_is_the_output_of_the_adapter(arch, images, weights):
    """The layer inside the adapter has another output."""
    plain = with_weights(build(arch, taps=[KEYS]), weights).eval()
    adapted = with_weights(build(arch, taps=[KEYS], lora=dict(r=2, target_modules=['to_k'])), weights).eval()
    layer = adapted.unet.get_submodule(KEYS)
    layer.lora_B['default'].weight.data.fill_(0.3)
    with torch.no_grad():
        normed = []
        plain.unet.get_submodule(f'{BLOCK}.norm1').register_forward_hook(lambda module, args, out: normed.append(out))
        (before,), (after,) = plain(images), adapted(images)
        change = layer.lora_B['default'](layer.lora_A['default'](normed[0])) * layer.scaling['default']
    torch.testing.assert_close(after - before, change.transpose(1, 2).unflatten(2, (3, 2)))


@pytest.mark.parametrize('built', [dict(), dict(lora=dict(r=2)), dict(lora=dict(r=3))], ids=str)
def test_taps_stay_when_an_adapter_is_exchanged(arch, images, weights, tmp_path, built):
    """The file adapts all layers, of which the backbone has some."""
    published = build_unet(arch)
    add_attention_lora(published, r=2, init_lora_weights=False)
    save_lora(published, tmp_path)
    backbone = with_weights(build(arch, taps=[KEYS, MIDDLE], **built), weights).eval()
    same = with_weights(build(arch, taps=[KEYS, MIDDLE], lora=dict(r=2)), weights).eval()
    adapter = {f'unet.{name}': weight for name, weight in published.state_dict().items() if '.lora_' in name}
    same.load_state_dict(same.state_dict() | {name: adapter[name] for name in same.state_dict() if name in adapter})
    load_lora(backbone.unet, tmp_path)
    with torch.no_grad():
        for feature, expected in zip(backbone(images), same(images), strict=True):
            torch.testing.assert_close(feature, expected)


def test_taps_stay_when_init_cfg_fills_the_adapter(tmp_path, images):
    unet = build_unet('tiny-sd')
    add_attention_lora(unet, r=2, init_lora_weights=False)
    save_lora(unet, tmp_path)
    init_cfg = dict(type='Pretrained', checkpoint='tiny-sd', lora=str(tmp_path))
    filled, fused = (build('tiny-sd', taps=[KEYS], init_cfg=init_cfg, lora=lora) for lora in (dict(r=2), None))
    filled.init_weights()
    fused.init_weights()
    fused.prompts.load_state_dict(filled.prompts.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(filled.eval()(images), fused.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('taps', [TAPS, [f'{BLOCK}.ff.net.0', f'{BLOCK}.attn2.to_q']], ids=['many', 'last inside'])
def test_checkpointing_changes_neither_features_nor_gradients(arch, images, weights, taps):
    maps = dict(cross_attention=dict(strides=(32,), with_grad=True))
    plain, saving = (with_weights(build(arch, taps=taps, with_cp=cp, **maps), weights).train() for cp in (False, True))
    features = [backbone(images) for backbone in (plain, saving)]
    for feature, same in zip(*features, strict=True):
        torch.testing.assert_close(feature, same)
    for each in features:
        loss_of(each).backward()
    for (name, weight), same in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(same.grad, weight.grad, msg=name)


def test_maps_beside_taps(arch, images, weights):
    """Of the layers up to the last tap, once per feature of the stride."""
    maps = dict(cross_attention=dict(strides=(32,)))
    backbone = with_weights(build(arch, taps=[f'{BLOCK}.attn2.to_q', 'mid_block', MIDDLE], **maps), weights).eval()
    assert backbone.out_channels == (24 + 5, 40, 24 + 5)
    pyramid = with_weights(build(arch, taps=None, out_indices=(2,), **maps), weights).eval()
    partial = with_weights(build(arch, taps=[f'{BLOCK}.attn2.to_q'], **maps), weights).eval()
    with torch.no_grad():
        (expected,), (queries, _, feature), (alone,) = pyramid(images), backbone(images), partial(images)
    torch.testing.assert_close(feature, expected)
    torch.testing.assert_close(queries[:, 24:], expected[:, 24:])
    torch.testing.assert_close(alone[:, 24:].sum(1), torch.ones(2, 3, 2))
    assert torch.equal(alone[:, :24], queries[:, :24])


def test_resized_taps(arch, images, weights):
    plain, resized = (
        with_weights(build(arch, taps=[KEYS, 'mid_block'], out_strides=strides), weights).eval()
        for strides in (None, (8, 64))
    )
    assert resized.out_strides == (8, 64)
    with torch.no_grad():
        (keys, middle), (fine, same) = plain(images), resized(images)
    torch.testing.assert_close(fine, F.interpolate(keys, (9, 5), mode='bilinear'))
    assert torch.equal(same, middle)


def test_resized_skips_give_tokens_the_size_of_the_padded_image(arch):
    taps = [f'up_blocks.2.attentions.0.transformer_blocks.0.{name}' for name in ('attn1.to_q', 'ff')]
    backbone = build(arch, taps=taps, resize_skips=True).eval()
    with torch.no_grad():
        assert [feature.shape[2:] for feature in backbone(torch.rand(1, 3, 160, 128))] == [(12, 8)] * 2


def test_a_copy_has_taps_of_its_own(arch, images):
    check_copy(build(arch).eval(), images)


def test_init_cfg_loads_what_is_left(arch, tmp_path):
    torch.manual_seed(3)
    build_unet(arch).save_pretrained(tmp_path / 'unet')
    build_vae(arch).save_pretrained(tmp_path / 'vae')
    backbone = build(arch, taps=[KEYS], init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path)))
    backbone.init_weights()
    source = build_unet(arch).from_pretrained(tmp_path / 'unet').state_dict()
    loaded = backbone.unet.state_dict()
    assert f'{KEYS}.weight' in loaded and f'{BLOCK}.attn1.to_v.weight' not in loaded
    for name, weight in loaded.items():
        assert torch.equal(weight, source[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    'options', [dict(), dict(timestep=(1, 30), noise='fixed', arch='tiny-sd', scale_latents=True, taps=[KEYS])]
)
def test_compiled(arch, images, options):
    backbone = build(**dict(dict(arch=arch), **options)).eval()
    with torch.no_grad():
        expected = backbone(images)
        for feature, same in zip(
            torch.compile(backbone, backend='aot_eager', fullgraph=True)(images), expected, strict=True
        ):
            torch.testing.assert_close(feature, same, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('fusion', ['mean', 'concat'])
def test_several_timesteps(arch, images, weights, fusion):
    taps = [KEYS, 'mid_block']
    maps = dict(cross_attention=dict(strides=(32,)), taps=taps)
    each = [with_weights(build(arch, timestep=time, **maps), weights).eval() for time in (1, 100, 261)]
    fused = with_weights(build(arch, timestep=(1, 100, 261), timestep_fusion=fusion, **maps), weights).eval()
    assert fused.timesteps == (1, 100, 261)
    assert fused.out_channels == ((29, 40) if fusion == 'mean' else (87, 120))
    with torch.no_grad():
        expected = list(zip(*(backbone(images) for backbone in each), strict=True))
        for feature, parts, channels in zip(fused(images), expected, fused.out_channels, strict=True):
            assert feature.shape[1] == channels
            same = sum(parts) / 3 if fusion == 'mean' else torch.cat(parts, dim=1)
            torch.testing.assert_close(feature, same)


def test_several_timesteps_and_passes(arch, images, weights):
    """Each timestep starts at the latents of the image."""
    options = dict(taps=None, num_refine_steps=2)
    weights = build(arch, **options).state_dict()
    early, late, both = (with_weights(build(arch, timestep=t, **options), weights).eval() for t in (1, 300, (1, 300)))
    with torch.no_grad():
        for first, second, mean in zip(early(images), late(images), both(images), strict=True):
            torch.testing.assert_close(mean, (first + second) / 2)


def test_a_list_of_one_timestep_is_the_timestep(arch, images, weights):
    plain, listed = (with_weights(build(arch, timestep=time), weights).eval() for time in (30, (30,)))
    with torch.no_grad():
        for feature, same in zip(plain(images), listed(images), strict=True):
            assert torch.equal(feature, same)


def test_noise_reaches_the_network_at_its_timestep(scheduled, images):
    backbone = build(scheduled, taps=['mid_block'], timestep=(1, 700), noise='fixed', noise_seed=4, scale_latents=True)
    seen = []
    backbone.unet.register_forward_pre_hook(lambda unet, args: seen.append(args[:2]))
    with torch.no_grad():
        backbone.eval()(images)
        clean = backbone.autoencoder.encode(images)
    for index, (latents, timestep) in enumerate(seen):
        assert timestep == (1, 700)[index]
        assert torch.equal(latents, backbone.noise(clean, int(timestep), index))
        assert not torch.allclose(latents, clean, atol=1e-3)


def test_fixed_noise_gives_an_image_the_same_features_in_any_batch(scheduled, images):
    backbone = build(scheduled, timestep=400, noise='fixed', scale_latents=True).eval()
    with torch.no_grad():
        for together, alone in zip(backbone(images), backbone(images[1:]), strict=True):
            torch.testing.assert_close(together[1:], alone)
        for feature, stride in zip(backbone(torch.rand(1, 3, 33, 130)), backbone.out_strides, strict=True):
            assert feature.shape[2:] == (-(-33 // stride), -(-130 // stride))


def test_random_noise_follows_the_seed_of_pytorch(scheduled, images):
    backbone = build(scheduled, taps=['mid_block'], timestep=400, noise='random', scale_latents=True).eval()
    with torch.no_grad():
        torch.manual_seed(7)
        (first,), (second,) = backbone(images), backbone(images)
        torch.manual_seed(7)
        (again,) = backbone(images)
    assert torch.equal(first, again) and not torch.allclose(first, second)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(taps=['up_blok.1']), "'up_blok.1'"),
        (dict(taps=[]), 'taps=[]'),
        (dict(taps='mid_block'), "taps='mid_block'"),
        (dict(taps=[3]), 'taps[0]=3'),
        (dict(taps=[dict(module=[])]), 'taps[0].module=[]: expected a name, or a list of names'),
        (dict(taps=[dict(name='mid_block')]), "no argument 'name'"),
        (dict(taps=[dict(module='mid_block', tensor='queries')]), "taps[0].tensor='queries'"),
        (dict(taps=[dict(tensor='input')]), "'module'"),
        (dict(out_indices=(0,)), 'out_indices=(0,)'),
        (dict(num_refine_steps=2), 'num_refine_steps=2'),
        (dict(out_strides=(8, 16)), 'taps'),
        (dict(cross_attention=dict(strides=(8,)), taps=['mid_block']), '[8]'),
        (dict(timestep=()), 'timestep=()'),
        (dict(timestep=(1, 1000)), 'timestep'),
        (dict(timestep=(1, -1)), 'timestep'),
        (dict(timestep=(1, 2), learned_timesteps=True), 'timestep=(1, 2)'),
        (dict(timestep_fusion='sum'), "timestep_fusion='sum'"),
        (dict(noise='gaussian'), "noise='gaussian'"),
        (dict(noise='fixed'), 'scheduler/scheduler_config.json'),
        (dict(noise_seed=-1), 'noise_seed=-1'),
    ],
    ids=str,
)
def test_bad_configuration_does_not_build(arch, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(arch, **options)


def test_taps_from_a_config_file(arch):
    """mmengine turns tuples into lists and dicts into its own."""
    config = dict(type='DiffusionUNet', arch=arch, taps=[dict(module=('mid_block',)), 'down_blocks.0'])
    assert MODELS.build(config).out_channels == (40, 8)
