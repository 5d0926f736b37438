"""The networks of Stable Diffusion, built with random weights from the configs of an architecture."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ModelMixin, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from mmdiffperc.files import brief, read_json

from .network_inputs import (
    EXPECTED,
    SCALING_FACTORS,
    SDXL,
    USUAL_LATENTS,
    additional_inputs,
    check_same_scaling,
    check_text_widths,
    check_unet_config,
    with_inputs,
)

_ASSETS = Path(__file__).parents[1] / 'assets'
PRESETS = {
    'sd1-4': _ASSETS / 'arch' / 'sd1-5',  # SD 1.4 and 1.5 differ in training only
    'sd1-5': _ASSETS / 'arch' / 'sd1-5',
    'sd2-1': _ASSETS / 'arch' / 'sd2-1',
    'sdxl': _ASSETS / 'arch' / 'sdxl',
    'sdxl-turbo': _ASSETS / 'arch' / 'sdxl',  # the same networks and noise schedule; distilled to draw in a few steps
    'tiny-sd': _ASSETS / 'tiny-sd',
}
# Presets of a single part. 'taesd' and 'taesdxl' differ in their weights only. 'tiny-taesd' belongs to tiny-sd.
PART_PRESETS = {
    'vae': dict.fromkeys(('taesd', 'taesdxl'), _ASSETS / 'arch' / 'taesd') | {'tiny-taesd': _ASSETS / 'tiny-taesd'}
}
# Text encoder -> its tokenizer. Stable Diffusion 1.x and 2.x have the first one only.
TOKENIZERS = {'text_encoder': 'tokenizer', 'text_encoder_2': 'tokenizer_2'}
ArchName = str | Path | Mapping[str, str | Path]

_AUTOENCODERS = {kind.__name__: kind for kind in (AutoencoderKL, AutoencoderTiny)}
_CLIP_TEXT = 'clip_text_model'


def arch_folder(arch: ArchName, part: str = 'unet') -> Path:
    """Return the folder with the configs of an architecture, or of the architecture of one part.

    Args:
        arch (str | Path | Mapping): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'sdxl'``, ``'sdxl-turbo'``, ``'tiny-sd'``,
            or a folder that holds ``unet/config.json`` and ``vae/config.json``, such as any diffusers folder. Or one of
            these for each part: ``dict(unet=..., vae=...)`` and optionally ``text_encoder`` and ``text_encoder_2``; by
            default, the text encoders belong to ``unet``. A part may also be the folder that directly holds its
            ``config.json``, and ``vae`` may be ``'taesd'``, ``'taesdxl'`` for SDXL, or ``'tiny-taesd'`` for tiny-sd.
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


def build_unet(arch: ArchName, target_input: bool = False, task_input: bool = False) -> UNet2DConditionModel:
    """Build the U-Net of an architecture with random weights.

    It may need more than latents, a timestep and prompts: see :class:`.UNetInputs`.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.
        target_input (bool): Give it an input for the latents of a second image, as Marigold has. Defaults to False.
        task_input (bool): Give it an input for a task embedding, as Lotus has. Defaults to False.

    Raises:
        ValueError: The config is damaged or describes another network; or the U-Net needs inputs that a perception
            model does not have, as the U-Nets of Kandinsky do.
    """
    path, config = _read_config(arch, 'unet', ['UNet2DConditionModel'])
    vae = _read_config(arch, 'vae', _AUTOENCODERS)[1]
    config = with_inputs(config, vae.get('latent_channels', USUAL_LATENTS), target_input, task_input)
    check_unet_config(path, config, vae)
    return _note_names(UNet2DConditionModel.from_config(config))


def build_vae(arch: ArchName) -> AutoencoderKL | AutoencoderTiny:
    """Build the autoencoder of an architecture with random weights.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.

    Raises:
        ValueError: The config is damaged, does not describe an autoencoder of RGB images, or belongs to another model
            than the U-Net.
    """
    path, config = _read_config(arch, 'vae', _AUTOENCODERS)
    if isinstance(arch, Mapping):
        _check_same_latents(arch, path, config)
    for name in ('in_channels', 'out_channels'):
        if (channels := config.get(name, 3)) != 3:
            raise ValueError(f'{path}: {name}={brief(channels)}: images have 3 channels. {EXPECTED}')
    kind = _AUTOENCODERS[config.get('_class_name', 'AutoencoderKL')]
    if kind is AutoencoderTiny:  # diffusers writes this entry into each config, but warns that it does not know it
        config.pop('block_out_channels', None)
    return _note_names(kind.from_config(config))


def unet_inputs(arch: ArchName, target_input: bool = False, task_input: bool = False) -> dict[str, str]:
    """Return what the U-Net of an architecture needs in addition to latents, a timestep and prompts.

    Nothing is built. See :func:`.additional_inputs`.

    Args:
        arch (str | Path | Mapping): See :func:`arch_folder`.
        target_input (bool): The latents of a second image are known, see :func:`build_unet`. Defaults to False.
        task_input (bool): The task is known. Defaults to False.
    """
    latent_channels = _read_config(arch, 'vae', _AUTOENCODERS)[1].get('latent_channels', USUAL_LATENTS)
    config = with_inputs(_unet_config(arch), latent_channels, target_input, task_input)
    return additional_inputs(config, latent_channels, target_input, task_input)


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
    return tuple(TOKENIZERS)[: 2 if _unet_config(arch).get('addition_embed_type') == SDXL else 1]


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
    check_text_widths(configs, _unet_config(arch))
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


def latent_scaling(arch: ArchName) -> float:
    """Return the scaling factor of the latents that the U-Net of an architecture was trained on.

    It is the factor of the AutoencoderKL in the same folder. If the folder has none, it follows from the kind of U-Net.
    """
    by_kind = SCALING_FACTORS.get(_unet_config(arch).get('addition_embed_type'), SCALING_FACTORS[None])
    own = _own_vae_config(arch)
    return by_kind if own.get('_class_name') == 'AutoencoderTiny' else own.get('scaling_factor', by_kind)


def _own_vae_config(arch: ArchName) -> dict:
    """Return the config of the autoencoder in the folder of the U-Net, which is empty if the folder has none."""
    path = arch_folder(arch) / 'vae' / 'config.json'
    return read_json(path) if path.is_file() else {}


def _check_same_latents(arch: Mapping, path: Path, vae: dict):
    """Raise ``ValueError`` if an autoencoder has other latents than those that the U-Net was trained on."""
    scaling = latent_scaling(arch)
    wrong, right = ('taesd', 'taesdxl') if scaling == SCALING_FACTORS[SDXL] else ('taesdxl', 'taesd')
    if str(arch['vae']) == wrong:
        raise ValueError(
            f'arch={dict(arch)}: {wrong!r} imitates the latents of another model than this U-Net was trained on. Set '
            f'vae={right!r}'
        )
    if _own_vae_config(arch) and vae.get('_class_name') != 'AutoencoderTiny':
        check_same_scaling(path, vae, dict(scaling_factor=scaling))


def _text_config(arch: ArchName, part: str) -> tuple[Path, dict]:
    path = _config_path(arch, part)
    if path is None:
        raise ValueError(
            f'The arch folder {str(arch_folder(arch, part))!r} has no {part}/config.json: add it, or give a file of '
            'embeddings.'
        )
    config = read_json(path)
    if (kind := config.get('model_type', _CLIP_TEXT)) != _CLIP_TEXT:
        raise ValueError(f'{path}: model_type={brief(kind)}: expected {_CLIP_TEXT!r}. {EXPECTED}')
    # transformers would download and run a kernel that a config names as its attention
    return path, {name: value for name, value in config.items() if not name.endswith('attn_implementation')}


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
