"""Tiny architectures: folders of configs, derived from the shipped ones, that build in a fraction of a second."""

import json
import shutil
from pathlib import Path

import torch

from mmdiffperc.weights.architectures import arch_folder, build_text_encoder, build_unet, build_vae, text_parts

_VAE = dict(block_out_channels=[8, 16, 24, 32], layers_per_block=1, norm_num_groups=4)
_TEXT_ENCODER = dict(intermediate_size=28, num_hidden_layers=2, num_attention_heads=4)
_TEXT_ENCODER_2 = dict(_TEXT_ENCODER, hidden_size=20, num_hidden_layers=3, projection_dim=14)
_SD1 = dict(block_out_channels=[8, 16, 24, 40], norm_num_groups=4, attention_head_dim=4, cross_attention_dim=12)

# name -> what differs from a shipped architecture (base, unet, vae)
ARCHS = {
    'sd1': ('sd1-5', _SD1, _VAE),
    'sd2': (
        'sd2-1',
        dict(
            block_out_channels=[16, 24, 32, 40],
            norm_num_groups=4,
            attention_head_dim=[2, 3, 4, 5],
            cross_attention_dim=20,
        ),
        _VAE,
    ),
    'three levels': (
        'sd1-5',
        dict(
            _SD1,
            block_out_channels=[8, 16, 32],
            down_block_types=['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
            up_block_types=['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
        ),
        dict(
            _VAE,
            block_out_channels=[8, 16, 24],
            down_block_types=['DownEncoderBlock2D'] * 3,
            up_block_types=['UpDecoderBlock2D'] * 3,
        ),
    ),
    # As few layers as possible, for what takes time for each of them.
    'two levels': (
        'sd1-5',
        dict(
            _SD1,
            block_out_channels=[8, 16],
            layers_per_block=1,
            down_block_types=['CrossAttnDownBlock2D', 'DownBlock2D'],
            up_block_types=['UpBlock2D', 'CrossAttnUpBlock2D'],
        ),
        dict(
            _VAE,
            block_out_channels=[4, 8],
            down_block_types=['DownEncoderBlock2D'] * 2,
            up_block_types=['UpDecoderBlock2D'] * 2,
        ),
    ),
    'one layer': ('sd1-5', dict(_SD1, layers_per_block=1), _VAE),
    'uneven layers': ('sd1-5', dict(_SD1, layers_per_block=[1, 2, 3, 1]), _VAE),
    # Three levels with 1, 2 and 3 layers in a transformer, and two text encoders, 12 and 20 wide.
    'sdxl': (
        'sdxl',
        dict(
            block_out_channels=[8, 16, 24],
            norm_num_groups=4,
            attention_head_dim=[2, 2, 3],
            transformer_layers_per_block=[1, 2, 3],
            cross_attention_dim=32,
            addition_time_embed_dim=6,
            projection_class_embeddings_input_dim=14 + 6 * 6,
        ),
        _VAE,
    ),
    # The width of the recordings in tests/parity.
    'parity': (
        'sd1-5',
        dict(block_out_channels=[32, 64, 128, 128]),
        dict(block_out_channels=[32, 64, 128, 128]),
    ),
}


def write_arch(folder: Path, name: str = 'sd1') -> str:
    """Write the configs of one of ``ARCHS``; the text encoders are together as wide as the cross-attention."""
    base, unet, vae = ARCHS[name]
    width = unet.get('cross_attention_dim', 768)
    changes = dict(unet=unet, vae=vae)
    if name == 'sdxl':
        changes['text_encoder_2'] = _TEXT_ENCODER_2
        width -= _TEXT_ENCODER_2['hidden_size']
        tokenizer = arch_folder(base) / 'tokenizer_2'
        shutil.copytree(tokenizer, folder / 'tokenizer_2')  # it pads with another token
    changes['text_encoder'] = dict(_TEXT_ENCODER, hidden_size=width)
    for part, changed in changes.items():
        config = json.loads((arch_folder(base) / part / 'config.json').read_text())
        (folder / part).mkdir(parents=True)
        (folder / part / 'config.json').write_text(json.dumps(dict(config, **changed)))
    return str(folder)


def write_changed_arch(folder: Path, part: str, name: str = 'sd1', **changes) -> str:
    """Write the configs of one of ``ARCHS`` with other entries in the config of a part."""
    arch = write_arch(folder, name)
    path = Path(arch, part, 'config.json')
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return arch


def write_diffusers_folder(folder: Path, arch: str) -> str:
    """Write a diffusers folder with random weights, as a user would download one."""
    torch.manual_seed(3)
    build_unet(arch).save_pretrained(folder / 'unet')
    build_vae(arch).save_pretrained(folder / 'vae')
    for part in text_parts(arch):
        build_text_encoder(arch, part).save_pretrained(folder / part)
    return str(folder)
