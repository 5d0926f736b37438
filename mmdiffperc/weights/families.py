"""Recognise models by the names and shapes of their weights."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Shapes = Mapping[str, tuple[int, ...]]

_UNET = r'(.*diffusion_model\.)?'
_FIRST_CONVOLUTION = re.compile(rf'{_UNET}(conv_in|input_blocks\.0\.0)\.weight')
_PROMPT_PROJECTION = re.compile(r'.*attn2\.to_k\.weight')
_TOKENS = re.compile(r'.*token_embedding(\.weight)?')
_LATENTS = re.compile(r'(.*first_stage_model\.)?encoder\.conv_out\.weight')
_LABELS = re.compile(rf'{_UNET}(class_embedding\.linear_1|label_emb\.0\.0)\.weight')
_TINY_AUTOENCODER = re.compile(r'encoder\.layers\.0\.weight')
# Names of weights -> models that no part of Stable Diffusion can be filled from.
_OTHER_MODELS = {
    r'(image_proj|ip_adapter)\.': 'an IP-Adapter, which extends a U-Net and does not contain one',
    r'control_model\.|.*(controlnet_cond_embedding|input_hint_block)\.': 'a ControlNet, which steers a U-Net',
    r'.*motion_modules\.': 'a video model, such as AnimateDiff',
    r'(.*diffusion_model\.)?(double_blocks|joint_blocks|single_transformer_blocks|transformer_blocks)\.': (
        'a diffusion transformer, such as SD 3 or FLUX'
    ),
}
_BY_PROMPT_WIDTH = {
    768: ('Stable Diffusion 1.x', 'sd1-5'),
    1024: ('Stable Diffusion 2.x', 'sd2-1'),
    1280: ('the refiner of SDXL', None),
    2048: ('SDXL', 'sdxl'),
}
_BY_TOKEN_WIDTH = {
    768: ('CLIP ViT-L/14, the text encoder of Stable Diffusion 1.x', 'sd1-5', 'text_encoder'),
    1024: ('OpenCLIP ViT-H, the text encoder of Stable Diffusion 2.x', 'sd2-1', 'text_encoder'),
    1280: ('OpenCLIP ViT-bigG, the second text encoder of SDXL', 'sdxl', 'text_encoder_2'),
}
_INPAINTING = 9  # input channels: those of two latents and a mask
_BY_INPUTS = {
    8: 'with 8 input channels, as in Marigold, E2E-FT and InstructPix2Pix',
    _INPAINTING: f'for inpainting, with {_INPAINTING} input channels',
    12: "with 12 input channels, as in Marigold's intrinsic decomposition",
    16: "with 16 input channels, as in Marigold's intrinsic decomposition",
}
_SDXL, _REFINER = 2048, 1280  # widths of a prompt
_SIZES = rf'{_UNET}add_embedding\.'
# Names of weights -> what a U-Net with them has, and the argument of the backbone that it needs.
_ADDITIONS = {
    rf'{_UNET}(time_embedding|time_embed)\.cond_proj\.': (
        'with a guidance embedding, as in latent consistency models',
        'guidance_scale',
    ),
    r'encoder_hid_proj\.': ('with image prompts, as in Kandinsky and with an IP-Adapter', None),
    _SIZES: ('with additional embeddings, as in SDXL and Kandinsky', None),
}
_TASK_NUMBERS = 4


class Family(NamedTuple):
    """A model, as far as its weights tell.

    Args:
        name (str): What it is, such as ``'Stable Diffusion 2.x'``.
        advice (str): What to do with its weights.
        part (str, optional): The part of Stable Diffusion that it is.
    """

    name: str
    advice: str
    part: str | None = None


def describe_family(shapes: Shapes) -> Family | None:
    """Return the model that weights belong to, or None if their names and shapes do not tell.

    Args:
        shapes (Mapping[str, tuple[int, ...]]): The shapes of the weights, by their names in diffusers or CompVis files.
    """
    for names, model in _OTHER_MODELS.items():
        if any(re.match(names, key) for key in shapes):
            return Family(model, 'Give the Stable Diffusion that it belongs to as checkpoint.')
    if (projection := _shape(shapes, _PROMPT_PROJECTION)) is not None:
        return _describe_unet(shapes, projection[1])
    if (tokens := _shape(shapes, _TOKENS)) is not None:
        unknown = f'a text encoder of width {tokens[1]}', None, 'text_encoder'
        name, preset, part = _BY_TOKEN_WIDTH.get(tokens[1], unknown)
        return Family(name, _advise(preset), part)
    if (latents := _shape(shapes, _LATENTS)) is not None:
        return Family(f'an autoencoder with {latents[0] // 2} latent channels', _advise(None), 'vae')
    if (first := _shape(shapes, _TINY_AUTOENCODER)) is not None and len(first) == 4:
        advice = "Set arch=dict(unet=..., vae='taesd'), or 'taesdxl' for SDXL."
        return Family('a tiny autoencoder (TAESD)', advice, 'vae')
    return None


def unet_inputs(shapes: Shapes) -> tuple[int | None, bool]:
    """Return the input channels of a U-Net, or None if there is no U-Net, and whether it has a task embedding.

    Args:
        shapes (Mapping[str, tuple[int, ...]]): The shapes of the weights, by their names in diffusers or CompVis files.
    """
    first, labels = _shape(shapes, _FIRST_CONVOLUTION), _shape(shapes, _LABELS)
    return first and first[1], labels is not None and labels[1] == _TASK_NUMBERS


def _describe_unet(shapes: Shapes, prompt_width: int) -> Family:
    known = _BY_PROMPT_WIDTH.get(prompt_width)
    name, preset = known or (f'a U-Net for prompts of width {prompt_width}', None)
    if prompt_width == _REFINER:
        return Family(name, "Take the weights of SDXL's base model, with arch='sdxl'.", 'unet')
    inputs, labels = _shape(shapes, _FIRST_CONVOLUTION), _shape(shapes, _LABELS)
    found = []
    if inputs and (channels := inputs[1]) in _BY_INPUTS:
        # Another model may have as many channels for its latents alone, except with the mask of inpainting.
        is_sure = known or channels == _INPAINTING
        found.append((_BY_INPUTS[channels], 'extra_latents') if is_sure else (f'with {channels} input channels', None))
    has_sizes = prompt_width == _SDXL  # as usual, in single files under the name of labels
    if labels and labels[1] == _TASK_NUMBERS:
        found.append(('with a task embedding, as in Lotus', 'task_embedding'))
    elif labels and not has_sizes:
        found.append(('with an embedding of labels or images, as in SDXL and unCLIP', None))
    found += [
        addition
        for names, addition in _ADDITIONS.items()
        if any(re.match(names, key) for key in shapes) and not (has_sizes and names == _SIZES)
    ]
    arguments = [argument for _, argument in found if argument]
    if found:
        name = f'{name} {" and ".join(what for what, _ in found)}'
    return Family(name, _advise(None if found else preset, arguments), 'unet')


def _advise(preset: str | None, arguments: Sequence[str] = ()) -> str:
    choice = f"arch='{preset}'" if preset else 'arch to a folder with its configs'
    return f'Set {" and ".join([choice, *arguments])}, or take other weights.'


def _shape(shapes: Shapes, names: re.Pattern) -> tuple[int, ...] | None:
    return next((shape for key, shape in shapes.items() if names.fullmatch(key)), None)
