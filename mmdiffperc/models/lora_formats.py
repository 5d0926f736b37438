"""The formats in which trainers write low-rank adapters, told apart by the names of the weights."""

import re
from collections.abc import Iterable

from diffusers.utils import convert_unet_state_dict_to_peft

UNET = 'unet.'
DOWN, UP = '.lora_A.weight', '.lora_B.weight'
ALPHA = '.alpha'
KOHYA = 'lora_unet_'
PEFT = 'base_model.model.'
_PREFIXES = re.compile(r'(unet\.)?(base_model\.model\.)?')
_TEXT_ENCODER = re.compile(r'text_encoder(_2)?\.|lora_te[12]?_|(.*\.)?encoder\.layers\.')
_FORMATS = {
    KOHYA: "kohya's sd-scripts",
    'lora_te': "kohya's sd-scripts",
    PEFT: 'PEFT',
    '.processor.': "diffusers' attention processors of 2023",
    '.lora_linear_layer.': 'diffusers until 0.24',
    '.lora.down.': 'diffusers until 0.24',
    'text_encoder.': 'diffusers',
    UNET: 'diffusers',
}
# Parts of names that mark adapters other than plain low-rank products.
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
_SDXL = re.compile(r'text_encoder_2\.|lora_te[12]_|(lora_unet_|diffusion_model\.)(input_blocks|middle_block)')
_TRANSFORMER = re.compile(r'transformer\.|lora_transformer_|.*(single_transformer|double|joint)_blocks')
_EXPECTED = 'Expected an adapter of the U-Net of Stable Diffusion 1.x or 2.x'


def adapts_text_encoder(key: str) -> bool:
    """Return whether a weight belongs to a text encoder, by its name in the file."""
    return bool(_TEXT_ENCODER.match(str(key)))


def peft_names(keys: Iterable[str], layers: Iterable[str]) -> dict[str, str]:
    """Translate the names of weights of the U-Net's adapter.

    The formats of diffusers (today's and those of 2023), PEFT and kohya's sd-scripts are recognized; the last writes
    ``_`` for each dot in the name of a layer. Other names stay as they are.

    Args:
        keys (Iterable[str]): The names in the file.
        layers (Iterable[str]): The layers of the U-Net.

    Returns:
        dict[str, str]: The name in the file, by the name that PEFT has for the weight.
    """
    underscored = {layer.replace('.', '_'): layer for layer in layers}
    return {_peft_name(str(key), underscored): key for key in keys}


def format_name(keys: Iterable[str]) -> str | None:
    """Return the name of the program whose format this is, if it is a known one."""
    return next((name for mark, name in _FORMATS.items() if any(mark in str(key) for key in keys)), None)


def advise(keys: Iterable[str]) -> str:
    """Say what to do about an adapter that does not fit, by the names of its weights."""
    keys = [str(key) for key in keys]
    if variants := sorted({name for mark, name in _VARIANTS.items() if any(mark in key for key in keys)}):
        return (
            f'It is a {", ".join(variants)} adapter; expected a plain LoRA. Merge it into its base with the program '
            'that trained it, save the result as a diffusers folder or a single file, and give that as checkpoint'
        )
    if any(_TRANSFORMER.match(key) for key in keys):
        return f'It adapts a diffusion transformer, such as SD 3 or FLUX. {_EXPECTED}'
    if any(_SDXL.match(key) for key in keys):
        return f'It adapts SDXL, which has another U-Net. {_EXPECTED}'
    if keys and all(map(adapts_text_encoder, keys)):
        return f'It adapts the text encoder only. {_EXPECTED}'
    if keys and not any('lora' in key for key in keys):
        return 'It is not a LoRA. If it holds all weights of a Stable Diffusion, give it as checkpoint'
    return 'Load it into the base it was trained on (SD 1.4 for the released ones of DMP)'


def _peft_name(key: str, underscored: dict[str, str]) -> str:
    """Return PEFT's name of a weight, given the layers by their names with ``_`` for each dot."""
    if key.startswith(KOHYA):
        layer, _, weight = key.removeprefix(KOHYA).partition('.')
        name = f'{underscored.get(layer, layer)}.{weight}'
        return name.replace('.lora_down.weight', DOWN).replace('.lora_up.weight', UP)
    name = _PREFIXES.sub('', key, count=1)
    if DOWN in name or UP in name:
        return name
    (name,) = convert_unet_state_dict_to_peft({name: None})
    return name.replace('.to_out_lora.', '.to_out.0.').replace('_lora' + ALPHA, ALPHA).replace('.lora' + ALPHA, ALPHA)
