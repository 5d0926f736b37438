"""The networks of Stable Diffusion, built with random weights from the configs of an architecture."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ModelMixin, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from mmdiffperc.files import brief, read_json

_ASSETS = Path(__file__).parents[1] / 'assets'
PRESETS = {
    'sd1-4': _ASSETS / 'arch' / 'sd1-5',  # SD 1.4 and 1.5 differ in training only
    'sd1-5': _ASSETS / 'arch' / 'sd1-5',
    'sd2-1': _ASSETS / 'arch' / 'sd2-1',
    'sdxl': _ASSETS / 'arch' / 'sdxl',
    'sdxl-turbo': _ASSETS / 'arch' / 'sdxl',  # the same networks and noise schedule; distilled to draw in a few steps
    'tiny-sd': _ASSETS / 'tiny-sd',
}
# Presets of a single part. The two tiny autoencoders differ in their weights only.
PART_PRESETS = {'vae': dict.fromkeys(('taesd', 'taesdxl'), _ASSETS / 'arch' / 'taesd')}
# Text encoder -> its tokenizer. Stable Diffusion 1.x and 2.x have the first one only.
TOKENIZERS = {'text_encoder': 'tokenizer', 'text_encoder_2': 'tokenizer_2'}
ArchName = str | Path | Mapping[str, str | Path]

TASK_WIDTH = 4  # sine and cosine of the two numbers that tell Lotus and SDPose their task
NUM_TIME_IDS = 6  # height and width of the original image, top and left of the crop, height and width of the target
_SDXL = 'text_time'  # its ``addition_embed_type``
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
SCALING_FACTORS = {None: 0.18215, _SDXL: 0.13025}
_USUAL_LATENTS = 4
_OTHER_AUTOENCODER = 'Both parts must belong to one model; the latents of SD 3 and FLUX, for example, have 16 channels'
_AUTOENCODERS = {kind.__name__: kind for kind in (AutoencoderKL, AutoencoderTiny)}
_CLIP_TEXT = 'clip_text_model'
_EXPECTED = 'Expected a text-to-image model such as Stable Diffusion 1.x, 2.x or XL'


def arch_folder(arch: ArchName, part: str = 'unet') -> Path:
    """Return the folder with the configs of an architecture, or of the architecture of one part.

    Args:
        arch (str | Path | Mapping): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'sdxl'``, ``'sdxl-turbo'``, ``'tiny-sd'``,
            or a folder that holds ``unet/config.json`` and ``vae/config.json``, such as any diffusers folder. Or one of
            these for each part: ``dict(unet=..., vae=...)`` and optionally ``text_encoder`` and ``text_encoder_2``; by
            default, the text encoders belong to ``unet``. A part may also be the folder that directly holds its
            ``config.json``, and ``vae`` may be ``'taesd'`` or, for SDXL, ``'taesdxl'``.
        part (str): The part, if ``arch`` names several. Defaults to ``'unet'``.

    Raises:
        ValueError: ``arch`` is neither a preset nor such a folder.
    """
    if isinstance(arch, Mapping):
        name = arch.get(part, arch['unet'])
        presets = PRESETS | PART_PRESETS.get(part, {})
        return presets.get(str(name)) or Path(name).expanduser()
    folder = PRESETS.get(str(arch)) or Path(arch).expanduser()
    missing = [name for name in ('unet/config.json', 'vae/config.json') if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f'Unknown arch {str(arch)!r}: expected one of {sorted(PRESETS)}, or a folder that holds unet/config.json '
            f'and vae/config.json. {str(folder)!r} has no {" and no ".join(missing)}.'
        )
    return folder


def build_unet(arch: ArchName) -> UNet2DConditionModel:
    """Build the U-Net of an architecture with random weights.

    It may need more than latents, a timestep and prompts: see :class:`.UNetInputs`.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.

    Raises:
        ValueError: The config is damaged or describes another network; or the U-Net needs inputs that a perception
            model does not have, as the U-Nets of Kandinsky do.
    """
    path, config = _read_config(arch, 'unet', ['UNet2DConditionModel'])
    _check_unet_config(path, config, _read_config(arch, 'vae', _AUTOENCODERS)[1])
    return _note_names(UNet2DConditionModel.from_config(config))


def build_vae(arch: ArchName) -> AutoencoderKL | AutoencoderTiny:
    """Build the autoencoder of an architecture with random weights.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.

    Raises:
        ValueError: The config is damaged, does not describe an autoencoder of RGB images, or is the preset of a tiny
            autoencoder for another U-Net.
    """
    path, config = _read_config(arch, 'vae', _AUTOENCODERS)
    if isinstance(arch, Mapping):
        _check_tiny_autoencoder(arch)
    for name in ('in_channels', 'out_channels'):
        if (channels := config.get(name, 3)) != 3:
            raise ValueError(f'{path}: {name}={brief(channels)}: images have 3 channels. {_EXPECTED}')
    return _note_names(_AUTOENCODERS[config.get('_class_name', 'AutoencoderKL')].from_config(config))


def _note_names(network: ModelMixin) -> ModelMixin:
    network.published_names = tuple(network.state_dict())
    return network


def published_names(network: ModelMixin) -> tuple[str, ...]:
    """Return the names of all weights of a network, including those of layers that have been removed from it."""
    if hasattr(network, 'published_names'):
        return network.published_names
    with torch.device('meta'):  # it was not built here
        return tuple(type(network).from_config(network.config).state_dict())


def text_parts(arch: ArchName) -> tuple[str, ...]:
    """Return the names of the text encoders of an architecture: two with SDXL."""
    return tuple(TOKENIZERS)[: 2 if _unet_config(arch).get('addition_embed_type') == _SDXL else 1]


def build_text_encoder(arch: ArchName, part: str = 'text_encoder') -> CLIPTextModel | CLIPTextModelWithProjection:
    """Build a text encoder of an architecture with random weights.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.
        part (str): ``'text_encoder'``, or ``'text_encoder_2'``, which has a projection. Defaults to ``'text_encoder'``.

    Raises:
        ValueError: The folder has no config of a text encoder, or it describes a model other than CLIP's text encoder,
            or the text encoders are not as wide as the U-Net expects.
    """
    configs = {name: _text_config(arch, name) for name in text_parts(arch)}
    _check_text_widths(configs, _unet_config(arch))
    kind = CLIPTextModel if part == 'text_encoder' else CLIPTextModelWithProjection
    return kind(CLIPTextConfig.from_dict(configs[part][1]))


def build_tokenizer(arch: ArchName, folder: Path | None = None, part: str = 'text_encoder') -> CLIPTokenizer:
    """Build the tokenizer of a checkpoint; without one, the tokenizer of the architecture, which is CLIP's by default.

    SD 1.x pads with ``<|endoftext|>``, and SD 2.x and the second text encoder of SDXL with ``!``. As in the published
    tokenizers, a ``!`` in a text then equals the padding token.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.
        folder (Path, optional): The folder of the tokenizer in a checkpoint, which need not exist.
        part (str): The text encoder that it belongs to. Defaults to ``'text_encoder'``.
    """
    own = arch_folder(arch, part) / TOKENIZERS[part]
    for candidate in (folder, own):
        if candidate and any((candidate / name).is_file() for name in ('tokenizer.json', 'vocab.json')):
            return CLIPTokenizer.from_pretrained(candidate)
    special = own / 'tokenizer_config.json'
    options = read_json(special) if special.is_file() else {'model_max_length': 77}
    options.pop('tokenizer_class', None)
    return CLIPTokenizer.from_pretrained(_ASSETS / 'clip_tokenizer', **options)


def pooled_width(unet: Mapping) -> int | None:
    """Return the width of the pooled embedding of the prompts that a U-Net takes, or None if it takes none.

    Args:
        unet (Mapping): The config of the U-Net.
    """
    if unet.get('addition_embed_type') != _SDXL:
        return None
    return unet['projection_class_embeddings_input_dim'] - NUM_TIME_IDS * unet['addition_time_embed_dim']


def latent_scaling(arch: ArchName) -> float:
    """Return the scaling factor of the latents that the U-Net of an architecture was trained on, by its family."""
    return SCALING_FACTORS.get(_unet_config(arch).get('addition_embed_type'), SCALING_FACTORS[None])


def overflows_in_half(vae: Mapping) -> bool:
    """Return whether an autoencoder overflows in half precision, as SDXL's does.

    Args:
        vae (Mapping): The config of the autoencoder. ``force_upcast`` tells the published SDXL from the repaired one;
            by default it is true of any autoencoder.
    """
    return bool(vae.get('force_upcast')) and vae['scaling_factor'] == SCALING_FACTORS[_SDXL]


def additional_inputs(unet: Mapping, latent_channels: int) -> dict[str, str]:
    """Return the arguments of :class:`.DiffusionUNet` that a U-Net needs, each with the entry of its config.

    Args:
        unet (Mapping): The config of the U-Net.
        latent_channels (int): Channels of the autoencoder's latents.
    """
    plain = dict(in_channels=latent_channels)
    return {
        argument: f'{name}={brief(unet[name])}'
        for name, (argument, _) in SERVED_INPUTS.items()
        if (unet.get(name) or None) != plain.get(name)
    }


def check_same_inputs(path: Path, given: Mapping, unet: Mapping):
    """Raise ``ValueError`` if the U-Net of a checkpoint needs other inputs than the one that it is loaded into.

    Args:
        path (Path): The config file of the checkpoint's U-Net, for the message.
        given (Mapping): Its content.
        unet (Mapping): The config of the U-Net to fill.
    """
    needs = {
        name: f'{what}. Set arch to its folder{"" if argument in WITH_DEFAULT else f", and {argument}"}'
        for name, (argument, what) in SERVED_INPUTS.items()
    }
    for name, needed in (_UNUSABLE_INPUTS | needs).items():
        default = _USUAL_LATENTS if name == 'in_channels' else None
        theirs, ours = (config.get(name, default) or None for config in (given, unet))
        if theirs != ours:
            raise ValueError(
                f'{path}: {name}={brief(theirs)}, but the U-Net that the weights are for has {name}={brief(ours)}: the '
                f'arch and the checkpoint belong to different models. With {name}={brief(theirs or ours)}, a U-Net '
                f'needs {needed}'
            )
    if _widths(given) == _widths(unet) and (theirs := _heads(given)) != _heads(
        unet
    ):  # the weights have the same shapes
        raise ValueError(
            f'{path}: the attention has {theirs} heads by level, but {_heads(unet)} in the arch: set arch to the folder'
        )


def check_same_scaling(path: Path, given: Mapping, vae: Mapping):
    """Raise ``ValueError`` if the autoencoder of a checkpoint has latents of another size.

    Args:
        path (Path): The config file of the checkpoint's autoencoder, for the message.
        given (Mapping): Its content.
        vae (Mapping): The config of the autoencoder to fill.
    """
    ours = vae['scaling_factor']
    if (theirs := given.get('scaling_factor', ours)) != ours:
        raise ValueError(
            f'{path}: scaling_factor={brief(theirs)}, but the arch has scaling_factor={ours} ({SCALING_FACTORS[None]}: '
            f'Stable Diffusion 1.x and 2.x, {SCALING_FACTORS[_SDXL]}: SDXL). Take the autoencoder of the same model as '
            'the U-Net'
        )


def _widths(unet: Mapping) -> tuple:
    return list(unet.get('block_out_channels', ())), unet.get('cross_attention_dim')


def _heads(unet: Mapping) -> list:
    heads = unet.get('num_attention_heads') or unet.get('attention_head_dim', 8)
    return list(heads) if isinstance(heads, (list, tuple)) else [heads] * len(unet.get('block_out_channels', ()))


def _check_unet_config(path: Path, unet: dict, vae: dict):
    """Raise ``ValueError`` unless a U-Net takes inputs that a perception model has."""
    for name, needed in _UNUSABLE_INPUTS.items():
        if unet.get(name) not in (None, False):
            raise ValueError(f'{path}: {name}={brief(unet[name])}: the U-Net needs {needed}. {_EXPECTED}')
    _check_class_embedding(path, unet)
    _check_addition(path, unet)
    _check_channels(path, unet, vae.get('latent_channels', _USUAL_LATENTS))
    for name in ('down_block_types', 'up_block_types'):
        if blocks := [block for block in unet.get(name) or () if str(block).startswith('K')]:
            raise ValueError(f'{path}: {name}={brief(blocks)}: only latent upscalers have these blocks. {_EXPECTED}')
    if type(width := unet.get('cross_attention_dim', 1)) is not int or width < 1:
        raise ValueError(
            f'{path}: cross_attention_dim={brief(width)}: expected the width of the prompts, one whole number. '
            f'{_EXPECTED}'
        )


def _check_class_embedding(path: Path, unet: dict):
    if (kind := unet.get('class_embed_type')) not in (None, 'projection'):
        raise ValueError(f'{path}: class_embed_type={brief(kind)}: the U-Net needs class labels. {_EXPECTED}')
    if kind and (width := unet.get('projection_class_embeddings_input_dim')) != TASK_WIDTH:
        raise ValueError(
            f'{path}: projection_class_embeddings_input_dim={brief(width)}: expected {TASK_WIDTH}, the task embedding '
            f'of Lotus and SDPose; wider ones are images, as in unCLIP. {_EXPECTED}'
        )


def _check_addition(path: Path, unet: dict):
    if (kind := unet.get('addition_embed_type')) not in (None, _SDXL):
        raise ValueError(
            f'{path}: addition_embed_type={brief(kind)}: the U-Net needs an additional embedding, as in Kandinsky. '
            f'{_EXPECTED}'
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


def _check_tiny_autoencoder(arch: Mapping):
    is_sdxl = latent_scaling(arch) == SCALING_FACTORS[_SDXL]
    wrong, right = ('taesd', 'taesdxl') if is_sdxl else ('taesdxl', 'taesd')
    if str(arch['vae']) == wrong:
        raise ValueError(
            f'arch={dict(arch)}: {wrong!r} imitates the latents of another model than this U-Net was trained on. Set '
            f'vae={right!r}'
        )


def _text_config(arch: ArchName, part: str) -> tuple[Path, dict]:
    path = _config_path(arch, part)
    if path is None:
        raise ValueError(
            f'The arch folder {str(arch_folder(arch, part))!r} has no {part}/config.json: add it, or give a file of '
            'embeddings.'
        )
    config = read_json(path)
    if (kind := config.get('model_type', _CLIP_TEXT)) != _CLIP_TEXT:
        raise ValueError(f'{path}: model_type={brief(kind)}: expected {_CLIP_TEXT!r}. {_EXPECTED}')
    # transformers would download and run a kernel that a config names as its attention
    return path, {name: value for name, value in config.items() if not name.endswith('attn_implementation')}


def _check_text_widths(configs: Mapping[str, tuple[Path, dict]], unet: dict):
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
    taken, returned = channels = [unet.get(name, _USUAL_LATENTS) for name in ('in_channels', 'out_channels')]
    for name, number in zip(('in_channels', 'out_channels'), channels, strict=True):
        if type(number) is not int:
            raise ValueError(f'{path}: {name}={brief(number)}: expected a whole number. {_EXPECTED}')
    # With more inputs, `extra_latents` says which; such a U-Net may also return several images.
    if taken < latent_channels or (taken == latent_channels and returned != latent_channels):
        name, number = ('in_channels', taken) if taken != latent_channels else ('out_channels', returned)
        raise ValueError(
            f'{path}: {name}={number}, but the latents of the autoencoder have {brief(latent_channels)} channels. '
            f'{_OTHER_AUTOENCODER}. {_EXPECTED}'
        )


def _config_path(arch: ArchName, part: str) -> Path | None:
    folder = arch_folder(arch, part)
    places = [folder / part, folder] if isinstance(arch, Mapping) and part in arch else [folder / part]
    return next((path for place in places if (path := place / 'config.json').is_file()), None)


def _unet_config(arch: ArchName) -> dict:
    return _read_config(arch, 'unet', ['UNet2DConditionModel'])[1]


def _read_config(arch: ArchName, part: str, class_names) -> tuple[Path, dict]:
    if (path := _config_path(arch, part)) is None:
        raise ValueError(
            f'Unknown arch of the part {part}: {str(arch_folder(arch, part))!r} has neither {part}/config.json nor '
            f'config.json. Expected such a folder, or one of {sorted(PRESETS | PART_PRESETS.get(part, {}))}'
        )
    config = read_json(path)
    names = list(class_names)
    if (found := config.get('_class_name', names[0])) not in names:
        raise ValueError(f'{path}: expected the config of {" or ".join(names)}, got the config of {brief(found)}')
    return path, config
