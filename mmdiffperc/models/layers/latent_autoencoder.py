"""The autoencoder in front of the U-Net."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from mmengine.logging import MMLogger
from torch import nn

from mmdiffperc.half_precision import DataType, without_autocast
from mmdiffperc.models.config_checks import Arch, InputScale
from mmdiffperc.validation import PositiveFloat, PositiveInt, validated
from mmdiffperc.weights.architectures import build_vae, latent_scaling
from mmdiffperc.weights.network_inputs import overflows_in_half

from .image_check import ImageCheck
from .memory_format import best_format
from .strips import can_encode_in_strips, encode_in_strips

TILING = 2**18  # pixels to encode at a time: an image of 512 x 512
STRIPS = 4  # share of the largest number of pixels that one strip has
FIXED_VAE = 'madebyollin/sdxl-vae-fp16-fix'


@validated
class LatentAutoencoder(nn.Module):
    """Turn images into the latents of a Stable Diffusion U-Net.

    It is frozen unless ``trained``: its parameters carry no gradient and it stays in evaluation mode.

    An ``AutoencoderTiny`` (`TAESD <https://github.com/madebyollin/taesd>`_) imitates the *scaled* latents. Without
    ``scale_latents``, its latents are divided by the scaling factor that the U-Net was trained with, see
    :func:`.latent_scaling`. With gradient checkpointing, diffusers would not map its images from [-1, 1] to [0, 1];
    encoding without gradients avoids this.

    Args:
        arch (str | dict): Architecture preset, folder or parts, see :func:`.arch_folder`.
        scale_latents (bool): Multiply the latents by the autoencoder's scaling factor (0.18215 for SD 1.x and 2.x,
            0.13025 for SDXL). The U-Net was pre-trained on scaled latents, but VPD and MetaPrompts use unscaled ones.
            Defaults to False.
        with_decoder (bool): Keep the half that turns latents into images. Defaults to False.
        input_scale (float): Enlarge the images by this factor before they are encoded, bilinearly. The stride shrinks
            by the same factor, and must stay a whole number. Defaults to 1.
        dtype (str, optional): Type of the weights and of the computation, independently of the images and of autocast:
            ``'float32'``, ``'bfloat16'`` or ``'float16'``. The latents have the type of the images. Default: the
            images must have the type of the weights, which autocast may lower.
        tiling (int): Largest number of pixels to encode at a time. Images of a larger batch are encoded one after the
            other, and larger images in strips, see :func:`.encode_in_strips`. The latents are the same up to
            rounding. A training of the autoencoder does without. Defaults to 2**18, an image of 512 x 512.
        latent_std (float, optional): Divide the latents by this number instead, the standard deviation of the latents
            of a data set, as `EVP <https://arxiv.org/abs/2312.08548>`_ does. Cannot be combined with
            ``scale_latents``.
        trained (bool): Train the encoder, so that gradients flow through :meth:`encode`. Cannot be combined with a
            ``dtype`` of 16 bits. Defaults to False.

    Attributes:
        scaling_factor (float): Scaled latents are the unscaled ones times this factor.
        vae_stride (int): Pixels of the enlarged image per latent.
        stride (int): Pixels of the image per latent.
        store (LatentStore | None): Where encoded images are kept, see :class:`.StoreLatentsHook`. Default: nowhere.

    Raises:
        ValueError: The stride divided by ``input_scale`` is not a whole number, or latents would be scaled twice.
    """

    def __init__(
        self,
        arch: Arch,
        scale_latents: bool = False,
        with_decoder: bool = False,
        input_scale: InputScale = 1.0,
        dtype: DataType | None = None,
        tiling: PositiveInt = TILING,
        latent_std: PositiveFloat | None = None,
        trained: bool = False,
    ):
        super().__init__()
        if latent_std is not None and scale_latents:
            raise ValueError(
                f'latent_std={latent_std} cannot be combined with scale_latents=True: both set the scale of the latents'
            )
        if trained and dtype not in (None, 'float32'):
            raise ValueError(
                f'dtype={dtype!r} cannot be combined with trained=True: weights that are trained need float32'
            )
        self.vae = build_vae(arch)
        if not with_decoder:
            del self.vae.decoder
            self.vae.post_quant_conv = None
        self.is_tiny = isinstance(self.vae, AutoencoderTiny)
        # A tiny autoencoder imitates scaled latents, so its own factor is 1.
        self.scaling_factor = latent_scaling(arch) if self.is_tiny else self.vae.config.scaling_factor
        self.scale_latents = scale_latents
        self.factor = self.scaling_factor if scale_latents else 1.0 / (latent_std or 1.0)
        self.vae_stride = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.stride = _divide(self.vae_stride, input_scale)
        self.has_own_type = dtype is not None
        self.tiling = tiling
        self.check_images = ImageCheck()
        self._has_warned = False
        self.store = None
        self.trained = trained
        if dtype:
            self.to(getattr(torch, dtype))
        self.requires_grad_(trained)
        self.eval()

    def train(self, mode: bool = True):
        """Set the training mode; a frozen autoencoder stays in evaluation mode."""
        return super().train(mode and self.trained)

    def latent_shape(self, size: tuple[int, int]) -> torch.Size:
        """Return the shape ``(4, h, w)`` of the latents of an image of a height and width."""
        return torch.Size([self.vae.config.latent_channels, *(-(-side // self.stride) for side in size)])

    def encoded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width, without padding, at which an image of a height and width is encoded."""
        return tuple(round(side * self.vae_stride / self.stride) for side in size)

    def encode(
        self,
        images: torch.Tensor,
        sample: bool = False,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> torch.Tensor:
        """Encode images to the mode, or a sample, of their latent distribution.

        Args:
            images (Tensor): ``(B, 3, H, W)`` in [-1, 1], RGB. They are enlarged by ``input_scale``. Sides that are
                then not multiples of the autoencoder's stride are padded with mid-grey at the bottom and the right.
            sample (bool): Draw a sample; a tiny autoencoder has no distribution. Defaults to False.
            generator (torch.Generator | Sequence[torch.Generator], optional): For the sample, or one for the sample of
                each image. Default: PyTorch's global one.

        Returns:
            Tensor: Latents ``(B, 4, ceil(H / stride), ceil(W / stride))``.

        Raises:
            TypeError: ``images`` is not a tensor of the right type, see :class:`.ImageCheck`.
            ValueError: ``images`` has another shape, or values that are not in [-1, 1].
        """
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            return self._to_latents(images, sample, generator)

    def _to_latents(self, images, sample, generator) -> torch.Tensor:
        weight = (self.vae.encoder.layers[0] if self.is_tiny else self.vae.encoder.conv_in).weight
        self.check_images(images, None if self.has_own_type else weight.dtype)
        self._warn_of_overflow(images, weight.dtype)
        given = images.dtype
        if self.has_own_type:
            images = images.to(weight.dtype)
        if self.stride != self.vae_stride:
            size = self.encoded_size(images.shape[-2:])
            images = F.interpolate(images, size, mode='bilinear', align_corners=False)
        height, width = images.shape[-2:]
        images = F.pad(images, (0, _missing(width, self.vae_stride), 0, _missing(height, self.vae_stride)))
        with without_autocast(images) if self.has_own_type else nullcontext():
            images = images.contiguous(memory_format=best_format('autoencoder', images))
            latents = self.store.encode(images, self._encode) if self.store else self._encode(images)
        if not self.is_tiny:
            posterior = DiagonalGaussianDistribution(latents)
            latents = posterior.sample(generator) if sample else posterior.mode()
        factor = self.factor / self.scaling_factor if self.is_tiny else self.factor
        return (latents * factor).to(given, memory_format=torch.contiguous_format)

    def _encode(self, images) -> torch.Tensor:
        """Return the latents of a tiny autoencoder, or the parameters of the latent distribution."""
        # A graph holds for one size, meta needs no memory, and strips overwrite what a backward pass needs.
        if torch.compiler.is_compiling() or images.is_meta or torch.is_grad_enabled():
            return self._encode_whole(images)
        at_once = max(1, self.tiling // images[0, 0].numel())
        return torch.cat([self._encode_chunk(chunk) for chunk in images.split(at_once)])

    def _encode_chunk(self, images) -> torch.Tensor:
        if images[:, 0].numel() <= self.tiling or self.is_tiny or not can_encode_in_strips(self.vae):
            return self._encode_whole(images)
        return encode_in_strips(self.vae, images, max(1, self.tiling // STRIPS))

    def _encode_whole(self, images) -> torch.Tensor:
        encoded = self.vae.encode(images)
        return encoded.latents if self.is_tiny else encoded.latent_dist.parameters

    def _warn_of_overflow(self, images, dtype):
        """Warn once if the autoencoder may overflow."""
        device = images.device.type
        if not self.has_own_type and device != 'meta' and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        if self._has_warned or dtype != torch.float16 or not overflows_in_half(self.vae.config):
            return
        self._has_warned = True
        MMLogger.get_current_instance().warning(
            'The published autoencoder of SDXL overflows in half precision (float16): latents may be NaN. Use bfloat16 '
            f'or the repaired autoencoder, checkpoint=dict(unet=..., vae={FIXED_VAE!r}, text_encoder=..., '
            "text_encoder_2=...) in init_cfg. If your checkpoint was trained with that one, set arch=dict(unet='sdxl', "
            'vae=FOLDER) to a folder with its config.json, and this warning disappears'
        )

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents to images; the latents receive gradients.

        Args:
            latents (Tensor): ``(B, 4, h, w)``, as :meth:`encode` returns them.

        Returns:
            Tensor: Images ``(B, 3, h * vae_stride, w * vae_stride)``, RGB, about in [-1, 1], including the enlargement
            and the padding of :meth:`encode`.
        """
        own = self.scaling_factor if self.is_tiny else 1.0  # what the decoder expects
        return self.vae.decode(latents / (self.factor / own)).sample  # divided as in diffusers, to the last bit


def _missing(side: int, stride: int) -> int:
    """Return how many pixels a side lacks to the next multiple of a stride."""
    return (stride - side % stride) % stride  # torch.compile does not support -side % stride for dynamic sizes


def _divide(stride: int, input_scale: float) -> int:
    """Return the stride divided by the scale of the image, a whole number."""
    divided = stride / input_scale
    if not math.isclose(divided, round(divided), rel_tol=1e-3):
        better = [
            f'{stride / whole:.5g} (stride {whole})' for whole in (math.ceil(divided), math.floor(divided)) if whole
        ]
        raise ValueError(
            f"input_scale={input_scale}: expected a scale by which the autoencoder's stride of {stride} pixels can be "
            f'divided, such as {" or ".join(better)}'
        )
    return round(divided)
