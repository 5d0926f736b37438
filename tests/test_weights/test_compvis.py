"""The names of CompVis: one to one over every weight, and equal to what diffusers' own converter believes."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModel

from mmdiffperc.weights.architectures import build_unet, build_vae
from mmdiffperc.weights.compvis import PREFIXES, ema_key, open_clip_key, unet_key_map, vae_key_map


def _tiny_unet(levels, attention_levels, layers, linear):
    down = ['CrossAttnDownBlock2D' if level in attention_levels else 'DownBlock2D' for level in range(levels)]
    return UNet2DConditionModel(
        down_block_types=down,
        up_block_types=[block.replace('Down', 'Up') for block in reversed(down)],
        block_out_channels=[8 * (level + 1) for level in range(levels)],
        layers_per_block=layers,
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=4,
        use_linear_projection=linear,
    )


UNETS = {
    'sd1-5': lambda: build_unet('sd1-5'),
    'sd2-1': lambda: build_unet('sd2-1'),
    'sdxl': lambda: build_unet('sdxl'),
    'two levels, one layer': lambda: _tiny_unet(2, {0}, 1, linear=False),
    'three levels, attention everywhere': lambda: _tiny_unet(3, {0, 1, 2}, 2, linear=True),
    'three levels, attention in the middle, three layers': lambda: _tiny_unet(3, {1}, 3, linear=False),
}
VAES = {
    'sd1-5': lambda: build_vae('sd1-5'),
    'three levels, one layer': lambda: AutoencoderKL(
        down_block_types=['DownEncoderBlock2D'] * 3,
        up_block_types=['UpDecoderBlock2D'] * 3,
        block_out_channels=[8, 12, 16],
        norm_num_groups=4,
        layers_per_block=1,
    ),
}


def _in_compvis_names(weights, key_map, prefix):
    return {prefix + key_map[name]: value for name, value in weights.items()}


@pytest.mark.parametrize('build', UNETS.values(), ids=UNETS)
def test_unet_map_is_one_to_one_and_agrees_with_diffusers(build):
    with torch.device('meta'):
        unet = build()
    weights, key_map = unet.state_dict(), unet_key_map(unet.config)
    assert list(key_map) == list(weights)
    assert len(set(key_map.values())) == len(key_map)

    converted = convert_ldm_unet_checkpoint(_in_compvis_names(weights, key_map, PREFIXES['unet']), unet.config)

    assert converted.keys() == key_map.keys()
    assert all(converted[name] is value for name, value in weights.items())


@pytest.mark.parametrize('build', VAES.values(), ids=VAES)
def test_vae_map_is_one_to_one_and_agrees_with_diffusers(build):
    with torch.device('meta'):
        vae = build()
    weights, key_map = vae.state_dict(), vae_key_map(vae.config)
    assert list(key_map) == list(weights)
    assert len(set(key_map.values())) == len(key_map)

    converted = convert_ldm_vae_checkpoint(_in_compvis_names(weights, key_map, PREFIXES['vae']), vae.config)

    assert converted.keys() == key_map.keys()
    assert all(converted[name] is value for name, value in weights.items())


def test_names_of_the_published_files():
    with torch.device('meta'):
        unet, vae = build_unet('sd1-5'), build_vae('sd1-5')
    unet_map, vae_map = unet_key_map(unet.config), vae_key_map(vae.config)
    expected = {
        'down_blocks.0.downsamplers.0.conv.bias': 'input_blocks.3.0.op.bias',
        'down_blocks.3.resnets.1.conv2.weight': 'input_blocks.11.0.out_layers.3.weight',
        'mid_block.resnets.1.time_emb_proj.weight': 'middle_block.2.emb_layers.1.weight',
        'up_blocks.0.upsamplers.0.conv.weight': 'output_blocks.2.1.conv.weight',
        'up_blocks.1.upsamplers.0.conv.weight': 'output_blocks.5.2.conv.weight',
        'up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight': (
            'output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight'
        ),
    }
    assert {name: unet_map[name] for name in expected} == expected
    assert vae_map['decoder.up_blocks.2.resnets.0.conv_shortcut.weight'] == 'decoder.up.1.block.0.nin_shortcut.weight'
    assert vae_map['encoder.mid_block.attentions.0.to_out.0.bias'] == 'encoder.mid.attn_1.proj_out.bias'


def test_names_of_the_published_file_of_sdxl():
    with torch.device('meta'):
        key_map = unet_key_map(build_unet('sdxl').config)
    expected = {
        'add_embedding.linear_1.weight': 'label_emb.0.0.weight',
        'add_embedding.linear_2.bias': 'label_emb.0.2.bias',
        'down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q.weight': (
            'input_blocks.4.1.transformer_blocks.1.attn1.to_q.weight'
        ),
        'mid_block.attentions.0.transformer_blocks.9.norm1.bias': 'middle_block.1.transformer_blocks.9.norm1.bias',
        'up_blocks.0.upsamplers.0.conv.weight': 'output_blocks.2.2.conv.weight',
        'up_blocks.2.resnets.2.conv_shortcut.weight': 'output_blocks.8.0.skip_connection.weight',
    }
    assert {name: key_map[name] for name in expected} == expected


def test_ema_key_drops_the_dots():
    key = 'model.diffusion_model.input_blocks.1.0.in_layers.0.weight'
    assert ema_key(key) == 'model_ema.diffusion_modelinput_blocks10in_layers0weight'


def test_open_clip_names_agree_with_diffusers():
    text_encoder = CLIPTextModel(
        CLIPTextConfig(hidden_size=8, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, vocab_size=30)
    )
    weights = text_encoder.state_dict()
    parts = {}
    for name in sorted(weights, key=_qkv):  # query, key and value of a layer share a name and are stacked
        parts.setdefault(PREFIXES['open_clip'] + open_clip_key(name), []).append(weights[name])

    converted = convert_open_clip_checkpoint(text_encoder, {key: torch.cat(values) for key, values in parts.items()})
    converted = {name.removeprefix('text_model.'): value for name, value in converted.items()}

    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], value) for name, value in weights.items())


def _qkv(name):
    return ['q_proj', 'k_proj', 'v_proj'].index(name.split('.')[-2]) if 'in_proj' in open_clip_key(name) else 0


def test_a_weight_without_compvis_name_is_an_error():
    with torch.device('meta'):
        unet = UNet2DConditionModel(num_class_embeds=5)
    with pytest.raises(KeyError, match='class_embedding'):
        unet_key_map(unet.config)
