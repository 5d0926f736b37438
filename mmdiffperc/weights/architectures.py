"""The networks of Stable Diffusion, built with random weights from the configs of an architecture."""

from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mmdiffperc.files import brief, read_json

_ASSETS = Path(__file__).parents[1] / 'assets'
PRESETS = {
    'sd1-4': _ASSETS / 'arch' / 'sd1-5',  # SD 1.4 and 1.5 differ in training only
    'sd1-5': _ASSETS / 'arch' / 'sd1-5',
    'sd2-1': _ASSETS / 'arch' / 'sd2-1',
    'tiny-sd': _ASSETS / 'tiny-sd',
}
# Entry of unet/config.json -> the additional input that the U-Net needs, which a perception model does not have.
_ADDITIONAL_INPUTS = {
    'addition_embed_type': 'an additional embedding, as in SDXL and Kandinsky',
    'class_embed_type': 'class labels',
    'num_class_embeds': 'class labels, as in upscalers',
    'encoder_hid_dim': 'prompts of another width, as in Kandinsky and DeepFloyd',
    'encoder_hid_dim_type': 'image prompts, as in Kandinsky and with IP-Adapters',
    'time_cond_proj_dim': 'a guidance scale, as in latent consistency models',
    'dual_cross_attention': 'images in addition to the prompts, as in Versatile Diffusion',
    'class_embeddings_concat': 'class labels',
}
_USUAL_LATENTS = 4
_TAKES_MORE = 'Inpainting and image-editing models take more than the latents'
_OTHER_AUTOENCODER = 'Both parts must belong to one model; the latents of SD 3 and FLUX, for example, have 16 channels'
_CLIP_TEXT = 'clip_text_model'
_EXPECTED = 'Expected a text-to-image model such as Stable Diffusion 1.x or 2.x'


def arch_folder(arch: str | Path) -> Path:
    """Return the folder with the configs of an architecture.

    Args:
        arch (str | Path): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'tiny-sd'``, or a folder that holds
            ``unet/config.json`` and ``vae/config.json``, such as any diffusers folder.

    Raises:
        ValueError: ``arch`` is neither a preset nor such a folder.
    """
    folder = PRESETS.get(str(arch)) or Path(str(arch)).expanduser()
    missing = [name for name in ('unet/config.json', 'vae/config.json') if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f'Unknown arch {str(arch)!r}: expected one of {sorted(PRESETS)}, or a folder that holds unet/config.json '
            f'and vae/config.json. {str(folder)!r} has no {" and no ".join(missing)}.'
        )
    return folder


def build_unet(arch: str | Path) -> UNet2DConditionModel:
    """Build the U-Net of an architecture with random weights.

    Args:
        arch (str | Path): See :func:`arch_folder`.

    Raises:
        ValueError: The config is damaged or describes another network; or the U-Net needs more than latents, a timestep
            and prompts, as the U-Nets of inpainting models and SDXL do.
    """
    config, vae_config = _read_config(arch, 'unet', 'UNet2DConditionModel'), _read_config(arch, 'vae', 'AutoencoderKL')
    check_unet_config(arch_folder(arch) / 'unet' / 'config.json', config, vae_config)
    return UNet2DConditionModel.from_config(config)


def build_vae(arch: str | Path) -> AutoencoderKL:
    """Build the autoencoder of an architecture with random weights.

    Args:
        arch (str | Path): See :func:`arch_folder`.

    Raises:
        ValueError: The config is damaged, or does not describe an autoencoder of RGB images.
    """
    config = _read_config(arch, 'vae', 'AutoencoderKL')
    for name in ('in_channels', 'out_channels'):
        if (channels := config.get(name, 3)) != 3:
            path = arch_folder(arch) / 'vae' / 'config.json'
            raise ValueError(f'{path}: {name}={brief(channels)}: images have 3 channels. {_EXPECTED}')
    return AutoencoderKL.from_config(config)


def build_text_encoder(arch: str | Path) -> CLIPTextModel:
    """Build the text encoder of an architecture with random weights.

    Args:
        arch (str | Path): See :func:`arch_folder`.

    Raises:
        ValueError: The folder has no ``text_encoder/config.json``, or it describes a model other than CLIP's text
            encoder, or the text encoder is not as wide as the U-Net expects.
    """
    path = arch_folder(arch) / 'text_encoder' / 'config.json'
    if not path.is_file():
        raise ValueError(
            f'The arch folder {str(arch)!r} has no text_encoder/config.json: add it, or give a file of embeddings.'
        )
    config = read_json(path)
    if (kind := config.get('model_type', _CLIP_TEXT)) != _CLIP_TEXT:
        raise ValueError(f'{path}: model_type={brief(kind)}: expected {_CLIP_TEXT!r}. {_EXPECTED}')
    width = config.get('hidden_size')
    expected = _read_config(arch, 'unet', 'UNet2DConditionModel').get('cross_attention_dim')
    if None not in (width, expected) and width != expected:
        raise ValueError(
            f'{path}: hidden_size={brief(width)}, but the U-Net takes prompts of cross_attention_dim='
            f'{brief(expected)}. Expected two parts of the same model'
        )
    # transformers would download and run a kernel that a config names as its attention
    settings = {name: value for name, value in config.items() if not name.endswith('attn_implementation')}
    return CLIPTextModel(CLIPTextConfig.from_dict(settings))


def build_tokenizer(arch: str | Path, folder: Path | None = None) -> CLIPTokenizer:
    """Build the tokenizer of a checkpoint; without one, the tokenizer of the architecture, which is CLIP's by default.

    SD 1.x pads with ``<|endoftext|>`` and SD 2.x with ``!``. As in the published SD 2.x tokenizers, a ``!`` in a text
    then equals the padding token.

    Args:
        arch (str | Path): See :func:`arch_folder`.
        folder (Path, optional): The ``tokenizer`` folder of a checkpoint, which need not exist.
    """
    own = arch_folder(arch) / 'tokenizer'
    for candidate in (folder, own):
        if candidate and any((candidate / name).is_file() for name in ('tokenizer.json', 'vocab.json')):
            return CLIPTokenizer.from_pretrained(candidate)
    special = own / 'tokenizer_config.json'
    options = read_json(special) if special.is_file() else {'model_max_length': 77}
    options.pop('tokenizer_class', None)
    return CLIPTokenizer.from_pretrained(_ASSETS / 'clip_tokenizer', **options)


def check_unet_config(path: Path, unet: dict, vae: dict):
    """Raise ``ValueError`` unless a U-Net takes latents of the autoencoder, a timestep, prompts, and nothing else.

    Args:
        path (Path): The config file of the U-Net, for the message.
        unet (dict): The config of the U-Net.
        vae (dict): The config of the autoencoder.
    """
    for name, needed in _ADDITIONAL_INPUTS.items():
        if unet.get(name) not in (None, False):
            raise ValueError(f'{path}: {name}={brief(unet[name])}: the U-Net needs {needed}. {_EXPECTED}')
    latent_channels = vae.get('latent_channels', _USUAL_LATENTS)
    for name in ('in_channels', 'out_channels'):
        if type(channels := unet.get(name, _USUAL_LATENTS)) is not int:
            raise ValueError(f'{path}: {name}={brief(channels)}: expected a whole number. {_EXPECTED}')
        if channels != latent_channels:
            reason = _TAKES_MORE if name == 'in_channels' and latent_channels == _USUAL_LATENTS else _OTHER_AUTOENCODER
            raise ValueError(
                f'{path}: {name}={channels}, but the latents of the autoencoder have {brief(latent_channels)} '
                f'channels. {reason}. {_EXPECTED}'
            )
    for name in ('down_block_types', 'up_block_types'):
        if blocks := [block for block in unet.get(name) or () if str(block).startswith('K')]:
            raise ValueError(f'{path}: {name}={brief(blocks)}: only latent upscalers have these blocks. {_EXPECTED}')
    if type(width := unet.get('cross_attention_dim', 1)) is not int or width < 1:
        raise ValueError(
            f'{path}: cross_attention_dim={brief(width)}: expected the width of the prompts, one whole number. '
            f'{_EXPECTED}'
        )


def _read_config(arch: str | Path, part: str, class_name: str) -> dict:
    path = arch_folder(arch) / part / 'config.json'
    config = read_json(path)
    if (found := config.get('_class_name', class_name)) != class_name:
        raise ValueError(f'{path}: expected the config of {class_name}, got the config of {brief(found)}')
    return config
