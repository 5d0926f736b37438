"""What the configs of a model say about the inputs of its networks, and checks of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdiffperc.files import brief

TASK_WIDTH = 4  # sine and cosine of the two numbers that tell Lotus and SDPose their task
NUM_TIME_IDS = 6  # height and width of the original image, top and left of the crop, height and width of the target
SDXL = 'text_time'  # its ``addition_embed_type``
# Entry of unet/config.json -> the additional input that the U-Net needs, and what to do.
_UNUSABLE_INPUTS = {
    'num_class_embeds': 'class labels, as in upscalers',
    'encoder_hid_dim': 'prompts of another width, as in Kandinsky and DeepFloyd',
    'encoder_hid_dim_type': 'image prompts, as in Kandinsky and with an IP-Adapter, which has to be removed',
    'dual_cross_attention': 'images in addition to the prompts, as in Versatile Diffusion',
    'class_embeddings_concat': 'class labels',
}
# Entry of unet/config.json -> the argument of `DiffusionUNet` that provides the additional input.
SERVED_INPUTS = {
    'in_channels': ('extra_latents', 'more than the latents of the image, as in Marigold and inpainting models'),
    'time_cond_proj_dim': ('guidance_scale', 'a guidance scale, as in latent consistency models'),
    'class_embed_type': ('task_embedding', 'a task embedding, as in Lotus and SDPose'),
    'addition_embed_type': ('time_ids', "sizes of the image and a pooled embedding, as in SDXL (arch='sdxl')"),
}
WITH_DEFAULT = ('time_ids',)  # of these arguments
# ``addition_embed_type`` of a U-Net -> scaling factor of the latents that it was trained on.
SCALING_FACTORS = {None: 0.18215, SDXL: 0.13025}
USUAL_LATENTS = 4
_OTHER_AUTOENCODER = 'Both parts must belong to one model; the latents of SD 3 and FLUX, for example, have 16 channels'
EXPECTED = 'Expected a text-to-image model such as Stable Diffusion 1.x, 2.x or XL'


def pooled_width(unet: Mapping) -> int | None:
    """Return the width of the pooled embedding of the prompts that a U-Net takes, or None if it takes none.

    Args:
        unet (Mapping): The config of the U-Net.
    """
    if unet.get('addition_embed_type') != SDXL:
        return None
    return unet['projection_class_embeddings_input_dim'] - NUM_TIME_IDS * unet['addition_time_embed_dim']


def overflows_in_half(vae: Mapping) -> bool:
    """Return whether an autoencoder overflows in half precision, as SDXL's does.

    Args:
        vae (Mapping): The config of the autoencoder. ``force_upcast`` tells the published SDXL from the repaired one;
            by default it is true of any autoencoder.
    """
    return bool(vae.get('force_upcast')) and vae['scaling_factor'] == SCALING_FACTORS[SDXL]


def with_inputs(unet: Mapping, latent_channels: int, target_input: bool, task_input: bool) -> dict:
    """Return the config of a U-Net with additional inputs, unless it has them already.

    Args:
        unet (Mapping): The config of the U-Net.
        latent_channels (int): Channels of the autoencoder's latents.
        target_input (bool): Take the latents of a second image, as Marigold and E2E-FT do.
        task_input (bool): Take a task embedding, as Lotus does.
    """
    added = {}
    if target_input and unet.get('in_channels', USUAL_LATENTS) == latent_channels:
        added.update(in_channels=2 * latent_channels)
    if task_input and not unet.get('class_embed_type'):
        added.update(class_embed_type='projection', projection_class_embeddings_input_dim=TASK_WIDTH)
    return dict(unet, **added)


def additional_inputs(
    unet: Mapping, latent_channels: int, target_input: bool = False, task_input: bool = False
) -> dict[str, str]:
    """Return the arguments of :class:`.DiffusionUNet` that a U-Net needs, each with the entry of its config.

    Args:
        unet (Mapping): The config of the U-Net.
        latent_channels (int): Channels of the autoencoder's latents.
        target_input (bool): The latents of a second image are known. Defaults to False.
        task_input (bool): The task is known. Defaults to False.
    """
    known = dict(in_channels=latent_channels * (2 if target_input else 1))
    if task_input:
        known.update(class_embed_type='projection')
    return {
        argument: f'{name}={brief(_entry(unet, name))}'
        for name, (argument, _) in SERVED_INPUTS.items()
        if _entry(unet, name) != known.get(name)
    }


def _entry(unet: Mapping, name: str) -> Any:
    """Return an entry of a U-Net's config, or its default in diffusers."""
    return unet.get(name) or (USUAL_LATENTS if name == 'in_channels' else None)


def check_same_inputs(path: Path, given: Mapping, unet: Mapping):
    """Raise ``ValueError`` if the U-Net of a checkpoint needs other inputs than the one that it is loaded into.

    A U-Net for prompts of another width passes, because the shapes of its weights tell more: the error about them names
    the model.

    Args:
        path (Path): The config file of the checkpoint's U-Net, for the message.
        given (Mapping): Its content.
        unet (Mapping): The config of the U-Net to fill.
    """
    if given.get('cross_attention_dim', unet['cross_attention_dim']) != unet['cross_attention_dim']:
        return
    needs = {
        name: f'{what}. Set arch to its folder{"" if argument in WITH_DEFAULT else f", and {argument}"}'
        for name, (argument, what) in SERVED_INPUTS.items()
    }
    for name, needed in (_UNUSABLE_INPUTS | needs).items():
        theirs, ours = (_entry(config, name) for config in (given, unet))
        if theirs != ours:
            advice = f'With {name}={brief(theirs)}, a U-Net needs {needed}'
            if theirs == _entry({}, name):
                advice = 'Set arch to the model of the checkpoint'
            raise ValueError(
                f'{path}: {name}={brief(theirs)}, but the U-Net that the weights are for has {name}={brief(ours)}: the '
                f'arch and the checkpoint belong to different models. {advice}'
            )
    same_shapes = list(given.get('block_out_channels', ())) == list(unet['block_out_channels'])
    if same_shapes and _heads(given) != _heads(unet):
        raise ValueError(
            f'{path}: the attention has {_heads(given)} heads by level, but {_heads(unet)} in the arch: set arch to '
            'the folder'
        )


def check_same_scaling(path: Path, given: Mapping, vae: Mapping):
    """Raise ``ValueError`` if the autoencoder of a checkpoint has latents of another size.

    Args:
        path (Path): The config file of the checkpoint's autoencoder, for the message.
        given (Mapping): Its content.
        vae (Mapping): The config of the autoencoder to fill.
    """
    ours = vae['scaling_factor']
    usual = ours if given.get('_class_name') == 'AutoencoderTiny' else SCALING_FACTORS[None]  # older configs lack it
    if (theirs := given.get('scaling_factor', usual)) != ours:
        raise ValueError(
            f'{path}: scaling_factor={brief(theirs)}, but the arch has scaling_factor={ours} ({SCALING_FACTORS[None]}: '
            f'Stable Diffusion 1.x and 2.x, {SCALING_FACTORS[SDXL]}: SDXL). Take the autoencoder of the same model as '
            'the U-Net'
        )


def _heads(unet: Mapping) -> list:
    heads = unet.get('num_attention_heads') or unet.get('attention_head_dim', 8)
    return list(heads) if isinstance(heads, (list, tuple)) else [heads] * len(unet.get('block_out_channels', ()))


def check_unet_config(path: Path, unet: dict, vae: dict):
    """Raise ``ValueError`` unless a U-Net takes inputs that a perception model has."""
    for name, needed in _UNUSABLE_INPUTS.items():
        if unet.get(name) not in (None, False):
            raise ValueError(f'{path}: {name}={brief(unet[name])}: the U-Net needs {needed}. {EXPECTED}')
    _check_class_embedding(path, unet)
    _check_addition(path, unet)
    _check_channels(path, unet, vae.get('latent_channels', USUAL_LATENTS))
    for name in ('down_block_types', 'up_block_types'):
        if blocks := [block for block in unet.get(name) or () if str(block).startswith('K')]:
            raise ValueError(f'{path}: {name}={brief(blocks)}: only latent upscalers have these blocks. {EXPECTED}')
    if type(width := unet.get('cross_attention_dim', 1)) is not int or width < 1:
        raise ValueError(
            f'{path}: cross_attention_dim={brief(width)}: expected the width of the prompts, one whole number. '
            f'{EXPECTED}'
        )


def _check_class_embedding(path: Path, unet: dict):
    if (kind := unet.get('class_embed_type')) not in (None, 'projection'):
        raise ValueError(f'{path}: class_embed_type={brief(kind)}: the U-Net needs class labels. {EXPECTED}')
    if kind and (width := unet.get('projection_class_embeddings_input_dim')) != TASK_WIDTH:
        raise ValueError(
            f'{path}: projection_class_embeddings_input_dim={brief(width)}: expected {TASK_WIDTH}, the task embedding '
            f'of Lotus and SDPose; wider ones are images, as in unCLIP. {EXPECTED}'
        )


def _check_addition(path: Path, unet: dict):
    if (kind := unet.get('addition_embed_type')) not in (None, SDXL):
        raise ValueError(
            f'{path}: addition_embed_type={brief(kind)}: the U-Net needs an additional embedding, as in Kandinsky. '
            f'{EXPECTED}'
        )
    if kind is None:
        return
    names = 'projection_class_embeddings_input_dim', 'addition_time_embed_dim'
    for name in names:
        if type(unet.get(name)) is not int or unet[name] < 1:
            raise ValueError(f'{path}: {name}={brief(unet.get(name))}: expected a positive whole number, as in SDXL')
    # The refiner has one text encoder, whose pooled embedding is as wide as a prompt, and five numbers for each image.
    if unet[names[0]] - (NUM_TIME_IDS - 1) * unet[names[1]] == unet.get('cross_attention_dim'):
        raise ValueError(
            f'{path}: {names[0]}={unet[names[0]]}: this is the refiner of SDXL, which has one text encoder and takes '
            "an aesthetic score. Expected the base model of SDXL: arch='sdxl'"
        )
    if pooled_width(unet) < 1:
        raise ValueError(
            f'{path}: {names[0]}={unet[names[0]]}: expected the width of a pooled embedding plus {NUM_TIME_IDS} * '
            f'{names[1]}={unet[names[1]]}, as in SDXL'
        )


def check_text_widths(configs: Mapping[str, tuple[Path, dict]], unet: dict):
    """Raise ``ValueError`` unless the text encoders are together as wide as the prompts that the U-Net takes."""
    widths = [config.get('hidden_size') for _, config in configs.values()]
    expected = unet.get('cross_attention_dim')
    path, last = list(configs.values())[-1]
    if None not in (*widths, expected) and sum(widths) != expected:
        raise ValueError(
            f'{path}: hidden_size={" + ".join(map(brief, widths))}, but the U-Net takes prompts of '
            f'cross_attention_dim={brief(expected)}. Expected parts of the same model'
        )
    pooled = last.get('projection_dim')
    if None not in (pooled, pooled_width(unet)) and pooled != pooled_width(unet):
        raise ValueError(
            f'{path}: projection_dim={brief(pooled)}, but the U-Net takes pooled embeddings of width '
            f'{pooled_width(unet)}. Expected parts of the same model'
        )


def _check_channels(path: Path, unet: dict, latent_channels: int):
    taken, returned = channels = [unet.get(name, USUAL_LATENTS) for name in ('in_channels', 'out_channels')]
    for name, number in zip(('in_channels', 'out_channels'), channels, strict=True):
        if type(number) is not int:
            raise ValueError(f'{path}: {name}={brief(number)}: expected a whole number. {EXPECTED}')
    # With more inputs, `extra_latents` says which; such a U-Net may also return several images.
    if taken < latent_channels or (taken == latent_channels and returned != latent_channels):
        name, number = ('in_channels', taken) if taken != latent_channels else ('out_channels', returned)
        raise ValueError(
            f'{path}: {name}={number}, but the latents of the autoencoder have {brief(latent_channels)} channels. '
            f'{_OTHER_AUTOENCODER}. {EXPECTED}'
        )
