"""Refuse architectures that need more than latents, a timestep and prompts, before they are built."""

from pathlib import Path

from mmdiffperc.files import brief

# Entry of unet/config.json -> the input it asks for, which a perception model does not have.
EXTRA_INPUTS = {
    'addition_embed_type': 'an additional embedding, as in SDXL and Kandinsky',
    'class_embed_type': 'class labels',
    'num_class_embeds': 'class labels, as in upscalers',
    'encoder_hid_dim': 'prompts of another width, as in Kandinsky and DeepFloyd',
    'encoder_hid_dim_type': 'prompts of another kind, as in Kandinsky and with IP-Adapters',
    'time_cond_proj_dim': 'a guidance scale, as in latent consistency models',
    'dual_cross_attention': 'images beside the prompts, as in Versatile Diffusion',
    'class_embeddings_concat': 'class labels',
}
USUAL_LATENTS = 4
TAKES_MORE = 'Inpainting and image-editing models take more than the latents'
OTHER_AUTOENCODER = 'Both parts must belong to one model; the latents of SD 3 and FLUX, for example, have 16 channels'
CLIP_TEXT = 'clip_text_model'
EXPECTED = 'Expected a text-to-image model such as Stable Diffusion 1.x or 2.x'


def check_unet_config(path: Path, unet: dict, vae: dict):
    """Check that the U-Net takes what there is: latents of the autoencoder, a timestep, and prompts of one width.

    Args:
        path (Path): The config file of the U-Net, for the message.
        unet (dict): Its content.
        vae (dict): The config of the autoencoder.

    Raises:
        ValueError: It needs another input; the message names the entry of the config.
    """
    for name, needed in EXTRA_INPUTS.items():
        if unet.get(name) not in (None, False):
            raise ValueError(f'{path}: {name}={brief(unet[name])}: the U-Net needs {needed}. {EXPECTED}')
    latent_channels = vae.get('latent_channels', USUAL_LATENTS)
    for name in ('in_channels', 'out_channels'):
        if type(channels := unet.get(name, USUAL_LATENTS)) is not int:
            raise ValueError(f'{path}: {name}={brief(channels)}: expected a whole number. {EXPECTED}')
        if channels != latent_channels:
            reason = TAKES_MORE if name == 'in_channels' and latent_channels == USUAL_LATENTS else OTHER_AUTOENCODER
            raise ValueError(
                f'{path}: {name}={channels}, but the latents of the autoencoder have {brief(latent_channels)} '
                f'channels. {reason}. {EXPECTED}'
            )
    for name in ('down_block_types', 'up_block_types'):
        if blocks := [block for block in unet.get(name) or () if str(block).startswith('K')]:
            raise ValueError(f'{path}: {name}={brief(blocks)}: the blocks are those of a latent upscaler. {EXPECTED}')
    if type(width := unet.get('cross_attention_dim', 1)) is not int or width < 1:
        raise ValueError(
            f'{path}: cross_attention_dim={brief(width)}: expected the width of the prompts, one whole number. '
            f'{EXPECTED}'
        )


def check_text_encoder_config(path: Path, text_encoder: dict, unet: dict):
    """Check that the text encoder is the text side of CLIP, and as wide as the U-Net expects.

    Args:
        path (Path): The config file of the text encoder, for the message.
        text_encoder (dict): Its content.
        unet (dict): The config of the U-Net.

    Raises:
        ValueError: It is another one.
    """
    if (kind := text_encoder.get('model_type', CLIP_TEXT)) != CLIP_TEXT:
        raise ValueError(f'{path}: model_type={brief(kind)}: expected {CLIP_TEXT!r}. {EXPECTED}')
    width, expected = text_encoder.get('hidden_size'), unet.get('cross_attention_dim')
    if None not in (width, expected) and width != expected:
        raise ValueError(
            f'{path}: hidden_size={brief(width)}, but the U-Net takes prompts of cross_attention_dim='
            f'{brief(expected)}. Expected both parts of one model'
        )


def check_vae_config(path: Path, vae: dict):
    """Check that the autoencoder takes RGB images.

    Args:
        path (Path): The config file of the autoencoder, for the message.
        vae (dict): Its content.

    Raises:
        ValueError: It takes images of another number of channels.
    """
    for name in ('in_channels', 'out_channels'):
        if (channels := vae.get(name, 3)) != 3:
            raise ValueError(f'{path}: {name}={brief(channels)}: images have 3 channels. {EXPECTED}')
