"""Several passes of :class:`DiffusionUNet`, and learned timesteps."""

import copy
import weakref

import pytest
import torch

from mmdiffperc.models import DiffusionUNet

IMAGES = (2, 3, 64, 96)
PROMPTS = dict(type='MetaPrompts', num_prompts=5, shared=False)


def build(arch, **options):
    return DiffusionUNet(arch, **{'prompts': PROMPTS, 'num_refine_steps': 3, 'learned_timesteps': True, **options})


def loss_of(features):
    return sum((feature * torch.linspace(-1, 1, feature.numel()).view_as(feature)).mean() for feature in features)


@pytest.fixture
def backbone(arch):
    return build(arch).eval()


@torch.no_grad()
def record(backbone, images):
    """What goes into the U-Net in each pass, its stride-8 feature, and the features of the backbone."""
    passes = []

    def note_inputs(unet, args, kwargs):
        passes.append(dict(latents=args[0], prompts=kwargs['encoder_hidden_states']))

    def note_time(resnet, args):
        passes[-1]['time'] = args[1]

    def note_feature(block, args, output):
        passes[-1]['feature'] = output

    handles = [
        backbone.unet.register_forward_pre_hook(note_inputs, with_kwargs=True),
        backbone.unet.down_blocks[0].resnets[0].register_forward_pre_hook(note_time),
        backbone.unet.up_blocks[-1].register_forward_hook(note_feature),
    ]
    features = backbone(images)
    for handle in handles:
        handle.remove()
    return passes, features


def test_each_pass_looks_at_the_output_of_the_one_before(backbone):
    images = torch.rand(IMAGES)
    passes, features = record(backbone, images)
    unet = backbone.unet
    assert len(passes) == 3
    torch.testing.assert_close(passes[0]['latents'], backbone.autoencoder.encode(images))
    for before, after in zip(passes[:-1], passes[1:], strict=True):
        normed = torch.nn.functional.group_norm(
            before['feature'], unet.conv_norm_out.num_groups, unet.conv_norm_out.weight, unet.conv_norm_out.bias, 1e-5
        )
        expected = unet.conv_out(normed * normed.sigmoid())
        torch.testing.assert_close(after['latents'], expected)
        assert after['latents'].shape == (2, 4, 8, 12)
    torch.testing.assert_close(features[0], passes[-1]['feature'], rtol=0, atol=0)


def test_each_pass_has_its_prompts_and_its_time_embedding(backbone):
    passes, _ = record(backbone, torch.rand(IMAGES))
    for step, seen in enumerate(passes):
        torch.testing.assert_close(seen['prompts'], backbone.prompts(2, step=step), rtol=0, atol=0)
        torch.testing.assert_close(seen['time'], backbone.learned_timesteps[step].repeat(2, 1), rtol=0, atol=0)
        assert seen['time'].shape == (2, 4 * 8)  # four times the width of the first level


def test_the_prompts_of_the_last_pass_are_handed_on(arch):
    backbone = build(arch, out_prompts=True).eval()
    *features, prompts = backbone(torch.rand(IMAGES))
    assert len(features) == 4
    torch.testing.assert_close(prompts, backbone.prompts(2, step=2), rtol=0, atol=0)


def test_timesteps_need_not_be_learned_nor_prompts(arch):
    """The same timestep and the same class prompts in both passes."""
    prompts = dict(type='ClassPrompts', classes=['wall', 'sky', 'tree'])
    backbone = build(arch, prompts=prompts, num_refine_steps=2, learned_timesteps=False, timestep=30).eval()
    passes, _ = record(backbone, torch.rand(IMAGES))
    for name in ('prompts', 'time'):
        torch.testing.assert_close(passes[0][name], passes[1][name], rtol=0, atol=0)
    assert not torch.allclose(passes[0]['latents'], passes[1]['latents'])


def test_cross_attention_maps_are_those_of_the_last_pass(arch):
    maps = dict(strides=(16,))
    backbone = build(arch, cross_attention=maps).eval()
    passes, features = record(backbone, torch.rand(IMAGES))
    last = build(arch, cross_attention=maps, num_refine_steps=1).eval()
    weights = backbone.state_dict()
    weights['learned_timesteps.0'] = weights['learned_timesteps.2']
    weights['prompts.embeddings.0'] = weights['prompts.embeddings.2']
    last.load_state_dict({name: weights[name] for name in last.state_dict()})
    last.unet.register_forward_pre_hook(lambda unet, args: (passes[-1]['latents'], *args[1:]))
    with torch.no_grad():
        for feature, expected in zip(last(torch.rand(IMAGES)), features, strict=True):
            torch.testing.assert_close(feature, expected)


@pytest.mark.parametrize('size', [(64, 64), (333, 77), (1, 1)])
def test_declared_sizes_are_the_actual_ones(backbone, size):
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, *size))
    for feature, channels, stride in zip(features, backbone.out_channels, backbone.out_strides, strict=True):
        assert feature.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_resized_skips_give_the_sizes_of_the_padded_image(arch):
    backbone = build(arch, resize_skips=True).eval()
    passes, features = record(backbone, torch.rand(1, 3, 160, 128))
    assert [tuple(seen['latents'].shape[2:]) for seen in passes] == [(20, 16), (24, 16), (24, 16)]
    assert [tuple(feature.shape[2:]) for feature in features] == [(24, 16), (12, 8), (6, 4), (3, 2)]


def test_what_is_not_used_is_not_there(arch):
    def parts(**options):
        return {name.partition('.')[0] for name, _ in build(arch, **options).unet.named_parameters()}

    blocks = {'conv_in', 'down_blocks', 'mid_block', 'up_blocks'}
    output, time = {'conv_norm_out', 'conv_out'}, {'time_embedding'}
    assert parts() == blocks | output
    assert parts(num_refine_steps=1) == blocks
    assert parts(learned_timesteps=False) == blocks | output | time
    assert parts(num_refine_steps=1, learned_timesteps=False) == blocks | time


def test_checkpointing_changes_neither_loss_nor_gradients(arch):
    plain, saving = build(arch).train(), build(arch, with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    images = torch.rand(IMAGES)
    for backbone in (plain, saving):
        loss_of(backbone(images)).backward()
    for (name, weight), same in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(same.grad, weight.grad, msg=name)


def test_a_pass_does_not_keep_the_features_of_the_one_before(backbone):
    kept, alive = [], []
    backbone.unet.up_blocks[0].resnets[1].register_forward_hook(
        lambda module, args, output: kept.append(weakref.ref(output))
    )
    backbone.unet.mid_block.register_forward_pre_hook(lambda *args: alive.append([ref() is not None for ref in kept]))
    with torch.no_grad():
        backbone(torch.rand(IMAGES))
    assert alive == [[], [False], [False, False]]


def test_a_copy_computes_the_same(backbone):
    duplicate = copy.deepcopy(backbone)
    images = torch.rand(IMAGES)
    with torch.no_grad():
        for feature, same in zip(duplicate(images), backbone(images), strict=True):
            torch.testing.assert_close(feature, same, rtol=0, atol=0)


def test_passes_without_the_finest_level(arch):
    with pytest.raises(ValueError, match=r'num_refine_steps=3.*up_blocks\.3.*\b0 to out_indices'):
        build(arch, out_indices=(1, 2))
    build(arch, out_indices=(1, 2), num_refine_steps=1)
    build(arch, out_indices=(2, 0))


def test_no_pass_at_all(arch):
    with pytest.raises(ValueError, match='num_refine_steps=0.*1'):
        build(arch, num_refine_steps=0)


def test_resized_skips_with_attention_maps(arch):
    with pytest.raises(ValueError, match='resize_skips=True.*cross_attention'):
        build(arch, resize_skips=True, cross_attention=dict(strides=(16,)))
