import re
from functools import partial

import pytest
import torch

from mmdiffperc.models.layers import Recorder, Tap, feature_table, find_taps, list_taps
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.network_inputs import pooled_width

LAST = 'up_blocks.1.attentions.1'
BLOCK = f'{LAST}.transformer_blocks.0'


@pytest.mark.parametrize('preset', ['sd1-5', 'sd2-1'])
def test_table_of_stable_diffusion(preset):
    with torch.device('meta'):
        unet = build_unet(preset)
    assert feature_table(unet.config) == (
        Tap('up_blocks.3', 8, 320),
        Tap('up_blocks.2.attentions.1', 16, 640),
        Tap('up_blocks.1.attentions.1', 32, 1280),
        Tap('up_blocks.0.resnets.1', 64, 1280),
    )


def test_table_of_sdxl():
    with torch.device('meta'):
        unet = build_unet('sdxl')
    assert feature_table(unet.config) == (
        Tap('up_blocks.2', 8, 320),
        Tap('up_blocks.1.attentions.1', 16, 640),
        Tap('up_blocks.0.attentions.1', 32, 1280),
    )


def test_table_follows_the_configuration(archs):
    assert feature_table(build_unet(archs['three levels']).config, latent_stride=4) == (
        Tap('up_blocks.2', 4, 8),
        Tap('up_blocks.1.attentions.1', 8, 16),
        Tap('up_blocks.0.resnets.1', 16, 32),
    )
    # Up blocks of 2, 4, 3 and 2 layers, coarsest first.
    assert [tap.module for tap in feature_table(build_unet(archs['uneven layers']).config)] == [
        'up_blocks.3',
        'up_blocks.2.attentions.1',
        'up_blocks.1.attentions.2',
        'up_blocks.0.resnets.1',
    ]


def tensors_of(unet, taps, call):
    """What hooks see at the places in the network, by the names of the taps."""
    tensors = {}
    for tap in taps:
        module = unet.get_submodule(tap.module)
        if tap.tensor == 'input':
            module.register_forward_pre_hook(lambda module, args, name=tap.name: tensors.update({name: args[0]}))
        else:
            module.register_forward_hook(lambda module, args, output, name=tap.name: tensors.update({name: output}))
    with torch.no_grad():
        call()
    return {name: value[0] if isinstance(value, tuple) else value for name, value in tensors.items()}


def read_all(unet, taps, call):
    """The features of the taps, by their names."""
    recorder = Recorder()
    for tap in taps:
        tap.attach(unet, recorder)
    with torch.no_grad(), recorder.recording() as record:
        call()
    return {tap.name: tap.read(record) for tap in taps}


def call_of(unet, latents, device='cpu'):
    prompts = torch.randn(len(latents), 3, unet.config.cross_attention_dim, device=device)
    added = {}
    if width := pooled_width(unet.config):
        size = torch.ones(len(latents), 6, device=device)
        added['added_cond_kwargs'] = dict(text_embeds=torch.randn(len(latents), width, device=device), time_ids=size)
    return partial(unet, latents.to(device), torch.ones(1, device=device), prompts, **added)


@pytest.mark.parametrize(
    ('name', 'number'),
    [('sd1', 293), ('sd2', 293), ('three levels', 204), ('one layer', 189), ('uneven layers', 291), ('sdxl', 459)],
)
def test_every_place_is_what_hooks_on_the_network_see(archs, name, number):
    unet = build_unet(archs[name]).eval()
    taps = list_taps(unet)
    assert len(taps) == len({tap.name for tap in taps}) == number
    assert set(feature_table(unet.config)) <= set(taps)
    latents = torch.randn(2, 4, 11, 6)
    call = call_of(unet, latents)
    expected, features = tensors_of(unet, taps, call), read_all(unet, taps, call)
    assert list(expected) == [tap.name for tap in taps]  # the order of computation
    for tap in taps:
        feature = features[tap.name]
        cells = tap.stride // 8
        assert feature.shape == (2, tap.channels, -(-11 // cells), -(-6 // cells)), tap
        tensor = expected[tap.name]
        if tensor.ndim == 3:
            assert torch.equal(feature[1, :, 1, 0], tensor[1, feature.shape[3]])  # the first cell of the second row
            tensor = tensor.transpose(1, 2).reshape(feature.shape)
        assert torch.equal(feature, tensor), tap


@pytest.mark.parametrize('preset', ['sd1-5', 'sd2-1'])
def test_places_of_stable_diffusion(preset):
    with torch.device('meta'):
        unet = build_unet(preset)
    taps = list_taps(unet)
    features = read_all(unet, taps, call_of(unet, torch.randn(1, 4, 9, 16), 'meta'))
    for tap in taps:
        cells = tap.stride // 8
        assert features[tap.name].shape == (1, tap.channels, -(-9 // cells), 16 // cells), tap
    places = {tap.name: tap for tap in taps}
    assert places['mid_block'] == Tap('mid_block', 64, 1280)
    assert places['down_blocks.0'] == Tap('down_blocks.0', 16, 320)
    assert places[f'{BLOCK}.ff.net.0'] == Tap(f'{BLOCK}.ff.net.0', 32, 5120, transformer=LAST)
    assert places[f'{BLOCK}.norm2 (input)'] == Tap(f'{BLOCK}.norm2', 32, 1280, 'input', LAST)
    assert {f'{BLOCK}.attn1.to_k', f'{BLOCK}.attn1.to_v', f'{BLOCK}.attn2.to_q'} <= set(places)


def test_hidden_states_are_what_the_layers_add_up_to(arch):
    unet = build_unet(arch).eval()
    taps = list_taps(unet)
    seen = tensors_of(unet, taps, call_of(unet, torch.randn(2, 4, 5, 6)))
    first, second, third = (seen[f'{BLOCK}.norm{number} (input)'] for number in (1, 2, 3))
    torch.testing.assert_close(second, first + seen[f'{BLOCK}.attn1'])
    torch.testing.assert_close(third, second + seen[f'{BLOCK}.attn2'])
    torch.testing.assert_close(seen[BLOCK], third + seen[f'{BLOCK}.ff'])


def test_only_whole_modules_without_self_attention(arch):
    """Where the keys of attn1 belong to the prompts."""
    unet = build_unet(arch)
    block = unet.get_submodule(BLOCK)
    block.only_cross_attention = True
    assert [tap.module for tap in list_taps(unet) if tap.module.startswith(f'{LAST}.')] == [BLOCK]


def test_features_that_configs_name(arch):
    unet = build_unet(arch)
    configs = [
        'mid_block',
        dict(module=[LAST, f'{BLOCK}.attn1.to_k']),
        dict(module=f'{BLOCK}.norm3', tensor='input'),
        dict(module=f'{BLOCK}.norm3'),
    ]
    found = find_taps(configs, unet, latent_stride=4)
    assert [[tap.name for tap in group] for group in found] == [
        ['mid_block'],
        [LAST, f'{BLOCK}.attn1.to_k'],
        [f'{BLOCK}.norm3 (input)'],
        [f'{BLOCK}.norm3'],
    ]
    assert [[(tap.stride, tap.channels) for tap in group] for group in found] == [
        [(32, 40)],
        [(16, 24)] * 2,
        [(16, 24)],
        [(16, 24)],
    ]


@pytest.mark.parametrize(
    ('configs', 'message'),
    [
        (['up_block.1'], "'up_block.1'.*did you mean 'up_blocks.1'"),
        ([f'{LAST}.transformer_block.0.attn1.to_k'], f"did you mean '{BLOCK}.attn1.to_k'"),
        (['xyz'], "'xyz'.*mmdiffperc list-taps"),
        (['up_blocks.1.resnets.0.conv1'], 'conv1.*mmdiffperc list-taps'),
        ([f'{BLOCK}.attn2.to_k'], 'attn2.to_k.*prompt.*attn2.to_q.*cross_attention'),
        ([f'{BLOCK}.attn2.to_v'], 'attn2.to_v.*prompt'),
        ([dict(module='mid_block', tensor='input')], 'mid_block.*norm1'),
        (['mid_block', LAST, 'mid_block'], "'mid_block'.*twice"),
        ([dict(module=[LAST, LAST])], f"'{LAST}'.*twice"),
        ([dict(module=['mid_block', LAST])], r'\[32, 64\].*out_strides'),
    ],
)
def test_configs_that_name_no_feature(arch, configs, message):
    with pytest.raises(ValueError, match=message):
        find_taps(configs, build_unet(arch))


def test_the_error_of_a_place_that_does_not_exist_names_the_argument(arch):
    with pytest.raises(ValueError, match=re.escape('taps')):
        find_taps(['nope'], build_unet(arch))
