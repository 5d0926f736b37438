"""Names of the same weights in diffusers and in the original CompVis (``ldm``) code.

Stable Diffusion was released as one file with the names of https://github.com/CompVis/latent-diffusion; this package
has the modules of diffusers and transformers. Each function maps a diffusers name to the CompVis name *without* the
prefix of the part in a file (``PREFIXES``), because research checkpoints keep the names and change the prefix.
"""

from collections.abc import Mapping
from itertools import count

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

# Prefix of each part in a Stable Diffusion single file.
PREFIXES = {
    'unet': 'model.diffusion_model.',
    'vae': 'first_stage_model.',
    'clip': 'cond_stage_model.transformer.text_model.',
    'open_clip': 'cond_stage_model.model.',
    'sdxl_clip': 'conditioner.embedders.0.transformer.text_model.',
    'sdxl_open_clip': 'conditioner.embedders.1.model.',
}

_UNET_RESNET = {
    'norm1': 'in_layers.0',
    'conv1': 'in_layers.2',
    'time_emb_proj': 'emb_layers.1',
    'norm2': 'out_layers.0',
    'conv2': 'out_layers.3',
    'conv_shortcut': 'skip_connection',
}
_VAE_RESNET = {name: name for name in ('norm1', 'conv1', 'norm2', 'conv2')} | {'conv_shortcut': 'nin_shortcut'}
_VAE_ATTENTION = {'group_norm': 'norm', 'to_q': 'q', 'to_k': 'k', 'to_v': 'v', 'to_out.0': 'proj_out'}
_OPEN_CLIP = {
    'embeddings.token_embedding': 'token_embedding',
    'embeddings.position_embedding.weight': 'positional_embedding',
    'final_layer_norm': 'ln_final',
    'text_projection.weight': 'text_projection',
}
_OPEN_CLIP_LAYER = {
    'layer_norm1': 'ln_1',
    'layer_norm2': 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
    'self_attn.out_proj': 'attn.out_proj',
}


def unet_key_map(config: Mapping) -> dict[str, str]:
    """Map every weight of a U-Net to its CompVis name.

    Args:
        config (Mapping): Config of a ``UNet2DConditionModel`` (``unet.config``).

    Returns:
        dict[str, str]: diffusers name to CompVis name, e.g. ``conv_in.weight`` to ``input_blocks.0.0.weight``;
        one to one.
    """
    modules = {
        'conv_in': 'input_blocks.0.0',
        'time_embedding.linear_1': 'time_embed.0',
        'time_embedding.linear_2': 'time_embed.2',
        'time_embedding.cond_proj': 'time_embed.cond_proj',
        'class_embedding.linear_1': 'label_emb.0.0',
        'class_embedding.linear_2': 'label_emb.0.2',
        'add_embedding.linear_1': 'label_emb.0.0',  # of SDXL, which has no class embedding
        'add_embedding.linear_2': 'label_emb.0.2',
        'conv_norm_out': 'out.0',
        'conv_out': 'out.2',
        'mid_block.attentions.0': 'middle_block.1',
        **_inside('mid_block.resnets.0', 'middle_block.0', _UNET_RESNET),
        **_inside('mid_block.resnets.1', 'middle_block.2', _UNET_RESNET),
        **_unet_down_modules(config),
        **_unet_up_modules(config),
    }
    return _rename_all(UNet2DConditionModel, config, modules)


def vae_key_map(config: Mapping) -> dict[str, str]:
    """Map every weight of an autoencoder to its CompVis name.

    The attention projections are 1x1 convolutions in CompVis files and linear layers in diffusers: the values are
    equal, and the shapes are ``(C, C, 1, 1)`` and ``(C, C)``.

    Args:
        config (Mapping): Config of an ``AutoencoderKL`` (``vae.config``).

    Returns:
        dict[str, str]: diffusers name to CompVis name, e.g. ``encoder.mid_block.attentions.0.to_q.weight`` to
        ``encoder.mid.attn_1.q.weight``; one to one.
    """
    modules = {'quant_conv': 'quant_conv', 'post_quant_conv': 'post_quant_conv'}
    for part in ('encoder', 'decoder'):
        modules.update(_vae_part_modules(part, config))
    return _rename_all(AutoencoderKL, config, modules)


def open_clip_key(name: str) -> str:
    """Return the OpenCLIP name of a weight of a CLIP text encoder: the one of SD 2.x, or the second of SDXL.

    The query, key and value projections share one tensor ``attn.in_proj_*`` in OpenCLIP, in this order. The projection
    of the output, ``text_projection``, is transposed.

    Args:
        name (str): Name in the flat ``CLIPTextModel``, e.g. ``encoder.layers.0.mlp.fc1.weight``.
    """
    if not name.startswith('encoder.layers.'):
        return _rename(name, _OPEN_CLIP)
    layer = name.split('.')[2]
    source, target = f'encoder.layers.{layer}', f'transformer.resblocks.{layer}'
    if '.self_attn.' in name and '.out_proj.' not in name:
        return f'{target}.attn.in_proj_{name.rpartition(".")[2]}'
    return _rename(name, _inside(source, target, _OPEN_CLIP_LAYER))


def ema_key(key: str) -> str:
    """Return the name of the moving average of ``model.<...>`` in CompVis files, which has no dots."""
    return 'model_ema.' + key.removeprefix('model.').replace('.', '')


def _unet_down_modules(config: Mapping) -> dict[str, str]:
    """Number ``input_blocks`` through all levels, as CompVis does; a downsampler has a separate number."""
    modules, block = {}, count(1)
    levels = len(config['down_block_types'])
    for level, block_type in enumerate(config['down_block_types']):
        for layer in range(_layers(config, level)):
            modules.update(_unet_layer(f'down_blocks.{level}', layer, f'input_blocks.{next(block)}', block_type))
        if level < levels - 1:
            modules[f'down_blocks.{level}.downsamplers.0.conv'] = f'input_blocks.{next(block)}.0.op'
    return modules


def _unet_up_modules(config: Mapping) -> dict[str, str]:
    """Number ``output_blocks`` through all levels; an upsampler is the last member of the last layer of its level."""
    modules, block = {}, count()
    levels = len(config['up_block_types'])
    for level, block_type in enumerate(config['up_block_types']):
        for layer in range(_layers(config, levels - 1 - level) + 1):
            target = f'output_blocks.{next(block)}'
            modules.update(_unet_layer(f'up_blocks.{level}', layer, target, block_type))
        if level < levels - 1:
            place = 2 if 'CrossAttn' in block_type else 1
            modules[f'up_blocks.{level}.upsamplers.0.conv'] = f'{target}.{place}.conv'
    return modules


def _unet_layer(block: str, layer: int, target: str, block_type: str) -> dict[str, str]:
    modules = _inside(f'{block}.resnets.{layer}', f'{target}.0', _UNET_RESNET)
    if 'CrossAttn' in block_type:
        modules[f'{block}.attentions.{layer}'] = f'{target}.1'
    return modules


def _vae_part_modules(part: str, config: Mapping) -> dict[str, str]:
    """CompVis numbers the decoder's levels by resolution, which is opposite to the order of diffusers."""
    down = part == 'encoder'
    block, sampler = ('down', 'downsample') if down else ('up', 'upsample')
    levels = len(config['block_out_channels'])
    modules = {
        f'{part}.conv_in': f'{part}.conv_in',
        f'{part}.conv_norm_out': f'{part}.norm_out',
        f'{part}.conv_out': f'{part}.conv_out',
        **_inside(f'{part}.mid_block.resnets.0', f'{part}.mid.block_1', _VAE_RESNET),
        **_inside(f'{part}.mid_block.resnets.1', f'{part}.mid.block_2', _VAE_RESNET),
        **_inside(f'{part}.mid_block.attentions.0', f'{part}.mid.attn_1', _VAE_ATTENTION),
    }
    for level in range(levels):
        source = f'{part}.{block}_blocks.{level}'
        target = f'{part}.{block}.{level if down else levels - 1 - level}'
        modules[f'{source}.{sampler}rs.0.conv'] = f'{target}.{sampler}.conv'
        for layer in range(config['layers_per_block'] + (not down)):
            modules.update(_inside(f'{source}.resnets.{layer}', f'{target}.block.{layer}', _VAE_RESNET))
    return modules


def _layers(config: Mapping, level: int) -> int:
    layers = config['layers_per_block']
    return layers if isinstance(layers, int) else layers[level]


def _inside(source: str, target: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f'{source}.{old}': f'{target}.{new}' for old, new in names.items()}


def _rename_all(cls: type, config: Mapping, modules: Mapping[str, str]) -> dict[str, str]:
    with torch.device('meta'):
        names = cls.from_config(config).state_dict()
    return {name: _rename(name, modules) for name in names}


def _rename(name: str, modules: Mapping[str, str]) -> str:
    """Replace the longest beginning of ``name`` that is a key of ``modules``."""
    module, rest = name, ''
    while module not in modules:
        module, dot, last = module.rpartition('.')
        if not dot:
            raise KeyError(
                f'{name!r} has no name in CompVis files, which hold the parts of Stable Diffusion 1.x, 2.x and XL only.'
            )
        rest = f'.{last}{rest}'
    return modules[module] + rest
