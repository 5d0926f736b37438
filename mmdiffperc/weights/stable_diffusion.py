"""Stable Diffusion: an architecture by name (from configs alone), and its weights from wherever they lie."""

from collections.abc import Sequence
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mmdiffperc.files import brief, read_json
from mmdiffperc.models.checkpointing import refuse_reentrant_checkpointing

from .architectures import check_text_encoder_config, check_unet_config, check_vae_config
from .assignment import assign_from_folder, assign_from_single_file, fill
from .sources import locate_checkpoint

_ASSETS = Path(__file__).parents[1] / 'assets'
_PRESETS = {
    'sd1-4': _ASSETS / 'arch' / 'sd1-5',  # SD 1.4 and 1.5 differ in training only
    'sd1-5': _ASSETS / 'arch' / 'sd1-5',
    'sd2-1': _ASSETS / 'arch' / 'sd2-1',
    'tiny-sd': _ASSETS / 'tiny-sd',
}
_PARTS = ('unet', 'vae', 'text_encoder')
TEXT_SIDE = ('text_encoder', 'tokenizer')


def arch_folder(arch: str | Path) -> Path:
    """Find the folder with the configs of an architecture.

    Args:
        arch (str | Path): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'tiny-sd'``, or a folder that holds
            ``unet/config.json`` and ``vae/config.json``, such as any diffusers folder.

    Raises:
        ValueError: Neither a preset nor such a folder.
    """
    folder = _PRESETS.get(str(arch)) or Path(str(arch)).expanduser()
    missing = [name for name in ('unet/config.json', 'vae/config.json') if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f'Unknown arch {str(arch)!r}: expected one of {sorted(_PRESETS)}, or a folder that holds unet/config.json '
            f'and vae/config.json. {str(folder)!r} has no {" and no ".join(missing)}.'
        )
    return folder


def build_unet(arch: str | Path) -> UNet2DConditionModel:
    """Build the U-Net of an architecture (see :func:`arch_folder`) with random weights.

    Raises:
        ValueError: The config is damaged, does not belong to a U-Net, or to one that needs more than latents, a
            timestep and prompts, such as an inpainting model or SDXL.
    """
    config, vae_config = _read_config(arch, 'unet', 'UNet2DConditionModel'), _read_config(arch, 'vae', 'AutoencoderKL')
    check_unet_config(arch_folder(arch) / 'unet' / 'config.json', config, vae_config)
    unet = UNet2DConditionModel.from_config(config)
    refuse_reentrant_checkpointing(unet)
    return unet


def build_vae(arch: str | Path) -> AutoencoderKL:
    """Build the autoencoder of an architecture (see :func:`arch_folder`) with random weights.

    Raises:
        ValueError: The config is damaged, or does not belong to an autoencoder of RGB images.
    """
    config = _read_config(arch, 'vae', 'AutoencoderKL')
    check_vae_config(arch_folder(arch) / 'vae' / 'config.json', config)
    return AutoencoderKL.from_config(config)


def build_text_encoder(arch: str | Path) -> CLIPTextModel:
    """Build the text encoder of an architecture (see :func:`arch_folder`) with random weights.

    Raises:
        ValueError: The folder has no ``text_encoder/config.json``, or that of another model than CLIP's, or of another
            width than the U-Net expects.
    """
    config = arch_folder(arch) / 'text_encoder' / 'config.json'
    if not config.is_file():
        raise ValueError(
            f'The arch folder {str(arch)!r} has no text_encoder/config.json: add it, or give ready prompt embeddings.'
        )
    content = read_json(config)
    check_text_encoder_config(config, content, _read_config(arch, 'unet', 'UNet2DConditionModel'))
    # transformers would download and run a kernel that a config names as its attention
    settings = {name: value for name, value in content.items() if not name.endswith('attn_implementation')}
    return CLIPTextModel(CLIPTextConfig.from_dict(settings))


def build_tokenizer(arch: str | Path) -> CLIPTokenizer:
    """Build the tokenizer of an architecture: its own vocabulary if the folder has one, else CLIP's.

    SD 1.x pads with ``<|endoftext|>``, SD 2.x with ``!``. As in the published SD 2.x tokenizers, a ``!`` in a text then
    is the padding token as well.
    """
    folder = arch_folder(arch) / 'tokenizer'
    if _has_vocabulary(folder):
        return CLIPTokenizer.from_pretrained(folder)
    special = folder / 'tokenizer_config.json'
    options = read_json(special) if special.is_file() else {'model_max_length': 77}
    options.pop('tokenizer_class', None)
    return CLIPTokenizer.from_pretrained(_ASSETS / 'clip_tokenizer', **options)


def locate_parts(checkpoint: str | Path, parts: Sequence[str], variant: str | None = None) -> Path:
    """Find parts of a checkpoint (see :func:`load_weights`) and download, all at once, those that are not there.

    Args:
        checkpoint (str | Path): As in :func:`load_weights`.
        parts (Sequence[str]): Any of ``unet``, ``vae``, ``text_encoder``, ``tokenizer``.
        variant (str, optional): As in :func:`load_weights`.

    Returns:
        Path: The file or folder, which is a checkpoint for :func:`load_weights` too.

    Raises:
        FileNotFoundError: No such file or folder.
        RuntimeError: A hub id that cannot be reached; the message names all parts.
    """
    return locate_checkpoint(_PRESETS.get(str(checkpoint), checkpoint), parts, variant)


def load_weights(
    checkpoint: str | Path, *, variant: str | None = None, use_ema: bool = False, **modules: nn.Module
) -> None:
    """Fill modules of Stable Diffusion in place with the weights of a checkpoint; their dtype and device stay.

    Nothing stays random: every weight of every module must be in the checkpoint with its shape, or nothing is changed
    and the error names what does not fit. Parts that were removed from a module (a decoder, an output layer) are not
    asked for.

    Args:
        checkpoint (str | Path): One of

            - a hub id, ``organisation/name``: only the files needed are downloaded, none if the cache has them;
            - a diffusers folder (``unet/``, ``vae/``, ``text_encoder/``; safetensors or bin, whole or sharded);
            - a CompVis single file, ``.ckpt`` or ``.safetensors``, of SD 1.x or SD 2.x;
            - a preset that ships with weights: ``'tiny-sd'``.
        variant (str, optional): Variant of a diffusers folder, e.g. ``'fp16'``. A part that lacks it is taken from its
            plain files, with a warning, provided that another part has it. Default: the plain files, or else the only
            variant there is.
        use_ema (bool): Take the moving average ``model_ema.*`` of the U-Net from a CompVis file. Defaults
            to False.
        **modules: Any of ``unet`` (UNet2DConditionModel), ``vae`` (AutoencoderKL), ``text_encoder`` (CLIPTextModel).

    Raises:
        FileNotFoundError: No such file or folder, the folder lacks a part, or no part of it has the variant.
        RuntimeError: A truncated file, something that is no weights file, or a hub id that cannot be reached.
        ValueError: Weights of another architecture, of a U-Net that needs more than latents, a timestep and prompts, or
            incomplete ones. Or one that is NaN, infinite or complex: then the modules have been filled in part.
        pickle.UnpicklingError: A pickled file that asks to execute something; nothing is executed.
    """
    unknown = set(modules) - set(_PARTS)
    if unknown:
        raise TypeError(f'Expected modules among {_PARTS}, got {sorted(unknown)}.')
    path = locate_parts(checkpoint, list(modules), variant)
    if path.is_file():
        fill(assign_from_single_file(path, modules, use_ema))
    elif use_ema:
        raise ValueError(
            f'{str(path)!r} is a diffusers folder, which keeps no moving average beside the weights: use_ema=True is '
            'for CompVis single files. Drop it, or name the variant of the folder that is wanted.'
        )
    else:
        _check_unet_of(path, modules)
        fill(assign_from_folder(path, modules, variant))


def load_text_encoder(
    arch: str | Path, checkpoint: str | Path, *, variant: str | None = None
) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Load the text side of a checkpoint, frozen and in eval mode.

    Args:
        arch (str | Path): Architecture, see :func:`arch_folder`.
        checkpoint (str | Path): Where the weights come from, see :func:`load_weights`.
        variant (str, optional): See :func:`load_weights`.

    Returns:
        tuple[CLIPTokenizer, CLIPTextModel]: The checkpoint's own tokenizer if it has one, else that of ``arch``; and
        the text encoder.
    """
    text_encoder = build_text_encoder(arch)
    load_weights(checkpoint, variant=variant, text_encoder=text_encoder)
    return _load_tokenizer(arch, checkpoint), text_encoder.requires_grad_(False).eval()


def _load_tokenizer(arch: str | Path, checkpoint: str | Path) -> CLIPTokenizer:
    folder = locate_parts(checkpoint, ['tokenizer']) / 'tokenizer'
    return CLIPTokenizer.from_pretrained(folder) if _has_vocabulary(folder) else build_tokenizer(arch)


def _check_unet_of(folder: Path, modules: dict[str, nn.Module]):
    """Check that a checkpoint's U-Net needs nothing beyond the module's, since what the module lacks is not loaded."""
    config, vae_config = (folder / part / 'config.json' for part in ('unet', 'vae'))
    if 'unet' in modules and config.is_file():
        check_unet_config(config, read_json(config), read_json(vae_config) if vae_config.is_file() else {})


def _has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ('tokenizer.json', 'vocab.json'))


def _read_config(arch: str | Path, part: str, class_name: str) -> dict:
    path = arch_folder(arch) / part / 'config.json'
    config = read_json(path)
    if (found := config.get('_class_name', class_name)) != class_name:
        raise ValueError(f'{path}: expected the config of {class_name}, got that of {brief(found)}')
    return config
