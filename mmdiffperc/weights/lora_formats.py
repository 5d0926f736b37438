"""Formats in which trainers write low-rank adapters, recognised by the names of the weights."""

import re
from collections.abc import Iterable, Mapping

from diffusers.utils import convert_unet_state_dict_to_peft

from mmdiffperc.files import brief

UNET = 'unet.'
DOWN, UP = '.lora_A.weight', '.lora_B.weight'
ALPHA = '.alpha'
KOHYA = 'lora_unet_'
PEFT = 'base_model.model.'
_PREFIXES = re.compile(r'((unet|base_model\.model|(model\.)?diffusion_model)\.)*')
_ADAPTER = re.compile(r'\.lora_[AB](\.[^.]+)(?=\.weight$)')  # the name of an adapter, as in lora_A.default.weight
# Parts of names in other formats -> the same part in diffusers 0.22.
_SYNONYMS = {
    '.lora_linear_layer.': '.lora.',
    '.lora_layer.': '.lora.',
    '.lora_down.': '.lora.down.',
    '.lora_up.': '.lora.up.',
}
COMPVIS = re.compile(r'.*(input_blocks|middle_block|output_blocks)[._]')
_TEXT_ENCODER = re.compile(r'text_encoder(_2)?\.|lora_te[12]?_|(.*\.)?encoder\.layers\.')
_FORMATS = {
    KOHYA: "kohya's sd-scripts",
    'lora_te': "kohya's sd-scripts",
    PEFT: 'PEFT',
    '.processor.': "diffusers' attention processors of 2023",
    '.lora_linear_layer.': 'diffusers until 0.24',
    '.lora_layer.': 'diffusers until 0.24',
    '.lora.down.': 'diffusers until 0.24',
    'diffusion_model.': 'ComfyUI',
    'text_encoder.': 'diffusers',
    UNET: 'diffusers',
}
# Parts of names in adapters that are not plain low-rank products.
_VARIANTS = {
    'dora_scale': 'DoRA',
    'lora_magnitude_vector': 'DoRA',
    'lora_mid': 'LoCon with Tucker decomposition',
    'hada_w': 'LoHa',
    'lokr_w': 'LoKr',
    'oft_': 'OFT',
    'vera_lambda': 'VeRA',
    'lora_E': 'AdaLoRA',
}
# A second text encoder, several blocks in one transformer, or attention in the first up block. In kohya's format, only
# adapters of SDXL have the original names; those of other bases have the names of diffusers.
_SDXL = re.compile(
    r'text_encoder_2\.|lora_te[12]_|.*clip_g\.|lora_unet_(input_blocks|middle_block|output_blocks)|.*add_embedding[._]'
    r'|.*attentions[._]\d+[._]transformer_blocks[._][1-9]|.*(put_blocks|middle_block).*transformer_blocks[._][1-9]'
    r'|.*up_blocks[._]0[._]attentions'
)
_PROMPT_PROJECTION = re.compile(r'.*attn2[._]to_[kv]\b')
_SDXL_PROMPT_WIDTH = 2048
_TRANSFORMER = re.compile(
    r'transformer\.|lora_transformer_|.*(single_transformer|double|joint)_blocks'
    r'|((base_model\.model|diffusion_model|unet)\.|lora_unet_)+(transformer_blocks|blocks|layers)[._]'
)
_EXPECTED = 'Expected an adapter of this U-Net'


def adapts_text_encoder(key: str) -> bool:
    """Return whether a name in a file belongs to a weight of a text encoder."""
    return bool(_TEXT_ENCODER.match(str(key)))


def peft_names(keys: Iterable[str], layers: Mapping[str, str]) -> dict[str, str]:
    """Translate the names of an adapter's weights from the formats of other programs to PEFT's.

    The formats are those of diffusers (of today and of 2023), PEFT, ComfyUI and kohya's sd-scripts, which writes ``_``
    for each dot in the name of a layer. Other names do not change.

    Args:
        keys (Iterable[str]): The names in the file.
        layers (Mapping[str, str]): The layers of the U-Net by their possible names in the file.

    Returns:
        dict[str, str]: The names in the file by PEFT's names of the weights.
    """
    underscored = {name.replace('.', '_'): layer for name, layer in layers.items()}
    return {_peft_name(str(key), layers, underscored): key for key in keys}


def format_name(keys: Iterable[str]) -> str | None:
    """Return the name of the program that writes this format, if it is known."""
    return next((name for mark, name in _FORMATS.items() if any(mark in str(key) for key in keys)), None)


def advise(shapes: Mapping[str, tuple[int, ...]], has_known_layers: bool, is_for_sdxl: bool) -> str:
    """Return advice on an adapter that does not fit.

    Args:
        shapes (Mapping[str, tuple]): The shapes of its weights by their names in the file.
        has_known_layers (bool): Whether the U-Net has some of its layers.
        is_for_sdxl (bool): Whether the U-Net is SDXL's.
    """
    keys = [str(key) for key in shapes]
    if variants := sorted({name for mark, name in _VARIANTS.items() if any(mark in key for key in keys)}):
        return (
            f'It is a {", ".join(variants)} adapter; expected a plain LoRA. Merge it into its base with the program '
            'that trained it, save the result as a diffusers folder or a single file, and give that as checkpoint'
        )
    if any(_TRANSFORMER.match(key) for key in keys):
        return f'It adapts a diffusion transformer, such as SD 3 or FLUX. {_EXPECTED}'
    if not is_for_sdxl and any(_is_of_sdxl(str(key), shape) for key, shape in shapes.items()):
        return f'It adapts SDXL, which has a different U-Net. {_EXPECTED}'
    if any('motion_modules' in key for key in keys):
        return f'It adapts a video model, such as AnimateDiff. {_EXPECTED}'
    if keys and all(map(adapts_text_encoder, keys)):
        return f'It adapts the text encoder only. {_EXPECTED}'
    if keys and not any('lora' in key for key in keys):
        return 'It is not a LoRA. If it holds all weights of a Stable Diffusion, give it as checkpoint'
    if len(adapters := sorted({found[1][1:] for key in keys if (found := _ADAPTER.search(key))})) > 1:
        names = brief(', '.join(adapters))
        return f'It holds several adapters ({names}): save the one that you need in a file by itself'
    if keys and not has_known_layers:
        return f'The U-Net has none of its layers, or their names are in an unknown format. {_EXPECTED}'
    base = 'this one is SDXL' if is_for_sdxl else 'SD 1.4 for the released ones of DMP'
    return f'Load it into the base it was trained on ({base})'


def _is_of_sdxl(key: str, shape: tuple[int, ...]) -> bool:
    takes_prompts = _PROMPT_PROJECTION.match(key) and shape[1:] == (_SDXL_PROMPT_WIDTH,)
    return bool(_SDXL.match(key) or takes_prompts)


def _peft_name(key: str, layers: Mapping[str, str], underscored: Mapping[str, str]) -> str:
    """Return PEFT's name of a weight; ``underscored`` has the layers by their names with ``_`` for each dot."""
    name = _PREFIXES.sub('', key, count=1)
    if key.startswith(KOHYA):
        layer, _, weight = key.removeprefix(KOHYA).partition('.')
        name = f'{underscored.get(layer, layer)}.{weight}'
    if named := _ADAPTER.search(name):
        name = name[: named.start(1)] + name[named.end(1) :]
    for synonym, ours in _SYNONYMS.items():
        name = name.replace(synonym, ours)
    (name,) = convert_unet_state_dict_to_peft({name: None})
    name = name.replace('.to_out_lora.', '.to_out.0.').replace('_lora' + ALPHA, ALPHA).replace('.lora' + ALPHA, ALPHA)
    layer = layer_of(name)
    return layers.get(layer, layer) + name.removeprefix(layer)


def layer_of(name: str) -> str:
    """Return the layer that a weight with PEFT's name adapts."""
    return next((name.removesuffix(part) for part in (DOWN, UP, ALPHA) if name.endswith(part)), name)
