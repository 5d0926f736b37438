"""The frozen autoencoder in front of the U-Net."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import nn

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.validation import validated
from mmdiffperc.weights.architectures import SCALING_FACTOR, build_vae

from .image_check import ImageCheck


@validated
class LatentAutoencoder(nn.Module):
    """Turn images into the latents of a Stable Diffusion U-Net.

    It is frozen: its parameters carry no gradient and it stays in evaluation mode.

    An ``AutoencoderTiny`` (`TAESD <https://github.com/madebyollin/taesd>`_) imitates the *scaled* latents. Without
    ``scale_latents``, its latents are divided by the scaling factor of Stable Diffusion. With gradient checkpointing,
    diffusers would not map its images from [-1, 1] to [0, 1]; encoding without gradients avoids this.

    Args:
        arch (str | dict): Architecture preset, folder or parts, see :func:`.arch_folder`.
        scale_latents (bool): Multiply the latents by the autoencoder's scaling factor (0.18215 for SD 1.x). The U-Net
            was pre-trained on scaled latents, but VPD and MetaPrompts use unscaled ones. Defaults to False.
        with_decoder (bool): Keep the half that turns latents into images. Defaults to False.

    Attributes:
        scaling_factor (float): Scaled latents are the unscaled ones times this factor.
        stride (int): Pixels per latent.
    """

    def __init__(self, arch: Arch, scale_latents: bool = False, with_decoder: bool = False):
        super().__init__()
        self.vae = build_vae(arch)
        if not with_decoder:
            del self.vae.decoder
            self.vae.post_quant_conv = None
        self.is_tiny = isinstance(self.vae, AutoencoderTiny)
        # A tiny autoencoder imitates scaled latents, so its own factor is 1.
        self.scaling_factor = SCALING_FACTOR if self.is_tiny else self.vae.config.scaling_factor
        self.scale_latents = scale_latents
        self.factor = self.scaling_factor if scale_latents else 1.0
        self.stride = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.check_images = ImageCheck()
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True):
        """Stay in evaluation mode for any ``mode``."""
        return super().train(False)

    def latent_shape(self, size: tuple[int, int]) -> torch.Size:
        """Return the shape ``(4, h, w)`` of the latents of an image of a height and width."""
        return torch.Size([self.vae.config.latent_channels, *(-(-side // self.stride) for side in size)])

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images to the mode of their latent distribution.

        Args:
            images (Tensor): ``(B, 3, H, W)`` in [-1, 1], RGB. Sides that are not multiples of the stride are padded
                with mid-grey at the bottom and the right.

        Returns:
            Tensor: Latents ``(B, 4, ceil(H / stride), ceil(W / stride))``.

        Raises:
            TypeError: ``images`` is not a tensor of the weights' type, see :class:`.ImageCheck`.
            ValueError: ``images`` has another shape, or values that are not in [-1, 1].
        """
        first = self.vae.encoder.layers[0] if self.is_tiny else self.vae.encoder.conv_in
        self.check_images(images, first.weight.dtype)
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % self.stride, 0, -height % self.stride))
        encoded = self.vae.encode(images)
        if self.is_tiny:
            return encoded.latents * (self.factor / self.scaling_factor)
        return encoded.latent_dist.mode() * self.factor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents to images; the latents receive gradients.

        Args:
            latents (Tensor): ``(B, 4, h, w)``, as :meth:`encode` returns them.

        Returns:
            Tensor: Images ``(B, 3, h * stride, w * stride)``, RGB, about in [-1, 1], including the padding of
            :meth:`encode`.
        """
        own = self.scaling_factor if self.is_tiny else 1.0  # what the decoder expects
        return self.vae.decode(latents * (own / self.factor)).sample
