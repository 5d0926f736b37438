"""Refuse architectures that need more than latents, a timestep and prompts, before they are built."""

from pathlib import Path

from mmdiffperc.files import brief

# Entry of unet/config.json -> the input it asks for, which a perception model does not have.
EXTRA_INPUTS = {
    'addition_embed_type': 'an additional embedding, as in SDXL and Kandinsky',
    'class_embed_type': 'class labels',
    'num_class_embeds': 'class labels, as in upscalers',
    'encoder_hid_dim': 'prompts of another width, as in Kandinsky and DeepFloyd',
    'encoder_hid_dim_type': 'prompts of another kind, as in Kandinsky',
    'time_cond_proj_dim': 'a guidance scale, as in latent consistency models',
}
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
        if unet.get(name) is not None:
            raise ValueError(f'{path}: {name}={brief(unet[name])}: the U-Net needs {needed}. {EXPECTED}')
    latent_channels = vae.get('latent_channels', 4)
    for name in ('in_channels', 'out_channels'):
        if (channels := unet.get(name, 4)) != latent_channels:
            raise ValueError(
                f'{path}: {name}={brief(channels)}, but the latents of the autoencoder have {brief(latent_channels)} '
                f'channels. Inpainting and image-editing models take more than the latents. {EXPECTED}'
            )
    if isinstance(width := unet.get('cross_attention_dim'), list):
        raise ValueError(f'{path}: cross_attention_dim={brief(width)}: prompts have one width. {EXPECTED}')


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
