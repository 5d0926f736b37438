"""Encode a large image with little memory: the layers of the autoencoder, strip by strip."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

Layer = Callable[[torch.Tensor], torch.Tensor]
HALO = 1  # rows around a strip that a convolution of three rows reads


def can_encode_in_strips(vae: AutoencoderKL) -> bool:
    """Return whether an encoder has only the layers that :func:`encode_in_strips` knows.

    The blocks that fully sharded data parallelism wraps are others, because their weights are gathered only while the
    whole block runs.
    """
    blocks = vae.encoder.down_blocks
    return all(
        type(layer) in (ResnetBlock2D, Downsample2D)
        for block in blocks
        for layer in (*block.resnets, *(block.downsamplers or ()))
    ) and all(down.use_conv and down.padding == 0 for block in blocks for down in block.downsamplers or ())


def encode_in_strips(vae: AutoencoderKL, images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Compute the parameters of the latent distribution with less memory; they are the same up to rounding.

    Convolutions run on strips of whole rows that overlap by the rows a kernel reads. The mean and the variance of a
    group norm are those of the whole image. (diffusers' ``enable_tiling`` encodes tiles independently and blends the
    latents, which changes them.) Only the input and the output of a layer are complete in memory. The middle of the
    encoder, which has a 64th of the image's pixels, runs at once.

    Args:
        vae (AutoencoderKL): The autoencoder.
        images (Tensor): ``(B, 3, H, W)``. Sides are multiples of its stride.
        pixels (int): Largest number of pixels of a strip, or the pixels of one row if these are more.

    Returns:
        Tensor: Means and logarithms of variances ``(B, 8, h, w)``.
    """
    encoder = vae.encoder
    hidden = _convolve(encoder.conv_in, images, pixels)
    for block in encoder.down_blocks:
        for resnet in block.resnets:
            hidden = _run_resnet(resnet, hidden, pixels)
        for downsampler in block.downsamplers or ():
            hidden = _downsample(downsampler, hidden, pixels)
    hidden = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(encoder.mid_block(hidden))))
    return hidden if vae.quant_conv is None else vae.quant_conv(hidden)


def _run_resnet(resnet: ResnetBlock2D, hidden: torch.Tensor, pixels: int) -> torch.Tensor:
    """Run a residual block ``(B, C, H, W)``; it may overwrite its input."""
    inner = _convolve(resnet.conv1, hidden, pixels, _activation(resnet, resnet.norm1, hidden, pixels))
    activate = _activation(resnet, resnet.norm2, inner, pixels)
    if resnet.conv_shortcut is not None:
        hidden = _convolve(resnet.conv_shortcut, hidden, pixels)
    for start, end in _strips(inner, pixels):
        hidden[:, :, start:end] += _rows(resnet.conv2, inner, start, end, activate)
    return hidden if resnet.output_scale_factor == 1 else hidden.div_(resnet.output_scale_factor)


def _activation(resnet, norm, hidden, pixels) -> Layer:
    """Return the norm, with the statistics of the whole tensor, and the nonlinearity."""
    scale, shift = _affine(norm, hidden, pixels)
    return lambda rows: resnet.nonlinearity(torch.addcmul(shift, rows, scale).to(rows.dtype))


def _affine(norm: nn.GroupNorm, hidden: torch.Tensor, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors and summands of the channels ``(B, C, 1, 1)`` that a group norm applies, in float32."""
    moments, sizes = [], []
    for start, end in _strips(hidden, pixels):
        groups = hidden[:, :, start:end].unflatten(1, (norm.num_groups, -1)).float()  # (B, G, C / G, rows, W)
        moments.append(torch.var_mean(groups, dim=(2, 3, 4), correction=0))
        sizes.append(end - start)
    # Python numbers are no copies to a GPU.
    shares = [size / hidden.shape[2] for size in sizes]
    mean = sum(share * mean for share, (_, mean) in zip(shares, moments, strict=True))  # (B, G)
    variance = sum(share * (within + (own - mean) ** 2) for share, (within, own) in zip(shares, moments, strict=True))
    per_channel = norm.num_channels // norm.num_groups
    mean, variance = (each.repeat_interleave(per_channel, dim=1) for each in (mean, variance))  # (B, C)
    scale = norm.weight.float() * (variance + norm.eps).rsqrt()
    shift = norm.bias.float() - mean * scale
    return scale[..., None, None], shift[..., None, None]


def _downsample(downsampler: Downsample2D, hidden: torch.Tensor, pixels: int) -> torch.Tensor:
    """Halve the sides ``(B, C, H, W)`` by a convolution that reads a row and a column of zeros behind the last ones."""
    out = None
    for start, end in _strips(hidden, pixels, even=True):
        rows = F.pad(hidden[:, :, start : end + 1], (0, 1, 0, 1 if end == hidden.shape[2] else 0))
        part = downsampler.conv(rows)
        if out is None:
            out = _empty_like(part, hidden.shape[2] // 2)
        out[:, :, start // 2 : end // 2] = part
    return out


def _convolve(conv: nn.Conv2d, hidden: torch.Tensor, pixels: int, prepare: Layer | None = None) -> torch.Tensor:
    """Run a convolution of stride 1 on what ``prepare`` makes of each strip."""
    out = None
    for start, end in _strips(hidden, pixels):
        part = _rows(conv, hidden, start, end, prepare)
        if out is None:
            out = _empty_like(part, hidden.shape[2])
        out[:, :, start:end] = part
    return out


def _rows(conv, hidden, start, end, prepare=None) -> torch.Tensor:
    """Return the output rows ``start`` to ``end`` of a convolution whose padding keeps the size."""
    first, last = max(start - HALO, 0), min(end + HALO, hidden.shape[2])
    rows = hidden[:, :, first:last]
    rows = conv(rows if prepare is None else prepare(rows))
    return rows[:, :, start - first : rows.shape[2] - (last - end)]


def _strips(hidden: torch.Tensor, pixels: int, even: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the first row and the row behind the last of each strip."""
    batch, _, height, width = hidden.shape
    step = max(1, pixels // (batch * width))
    step += step % 2 if even else 0
    for start in range(0, height, step):
        yield start, min(start + step, height)


def _empty_like(part: torch.Tensor, height: int) -> torch.Tensor:
    batch, channels, _, width = part.shape
    is_last = part.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    shape = (batch, channels, height, width)
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=memory_format)
