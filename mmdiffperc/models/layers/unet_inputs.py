"""Inputs that some U-Nets need in addition to latents, a timestep and prompts."""

from collections.abc import Sequence

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn

from mmdiffperc.models.config_checks import EXTRA_LATENTS, ExtraLatents, TaskEmbedding, TimeIds
from mmdiffperc.validation import PositiveFloat, validated
from mmdiffperc.weights.network_inputs import SERVED_INPUTS, WITH_DEFAULT, additional_inputs

from .on_device import DeviceCopies, seeded_noise

FILLERS = ('noise', 'zeros')
_NOISE_SEED = 0
_HINTS = {
    'extra_latents': f'one of {", ".join(EXTRA_LATENTS)}, or a list such as ["scaled image", "noise"]',
    'guidance_scale': 'the scale of classifier-free guidance that the U-Net imitates; latent consistency models draw '
    'with about 8',
    'task_embedding': '(1, 0) for depth, normals or poses, (0, 1) for the image itself',
}


@validated
class UNetInputs(nn.Module):
    """Provide the additional inputs of a U-Net, or check that it has none.

    Args:
        unet_config (Mapping): ``unet.config``.
        autoencoder (LatentAutoencoder): Of the same model.
        extra_latents (str | Sequence[str], optional): What the input channels hold if there are more than the latents
            of the image: a preset of ``EXTRA_LATENTS``, or its entries in order. ``'image'`` and ``'scaled image'``
            are the latents of the image; ``'noise'`` (the same for all images of one size) or ``'zeros'`` fills the
            remaining channels.
        guidance_scale (float, optional): Guidance scale of a latent consistency model. As in diffusers, the scale minus
            1 is embedded.
        task_embedding (Sequence[float], optional): Two numbers for the task of a Lotus or SDPose U-Net. Their sines
            and cosines are embedded.
        time_ids (Sequence[int], optional): Six numbers that SDXL embeds for every image: height and width of the
            original image, top and left of the crop, height and width of the target. Default: the size of the image
            that the autoencoder encodes, as original and as target, and no crop.
        learned_timesteps (bool): The time embedding is learned, so the guidance scale is no input. Defaults to False.

    Raises:
        ValueError: An argument is missing that the U-Net needs, or given although it has no such input; or the entries
            of ``extra_latents`` do not fill the input channels.
    """

    def __init__(
        self,
        unet_config,
        autoencoder,
        extra_latents: ExtraLatents | None = None,
        guidance_scale: PositiveFloat | None = None,
        task_embedding: TaskEmbedding | None = None,
        time_ids: TimeIds | None = None,
        learned_timesteps: bool = False,
    ):
        super().__init__()
        needed = additional_inputs(unet_config, autoencoder.vae.config.latent_channels)
        if learned_timesteps:
            needed.pop('guidance_scale', None)
        given = dict(
            extra_latents=extra_latents, guidance_scale=guidance_scale, task_embedding=task_embedding, time_ids=time_ids
        )
        _compare(needed, given)
        self._copies = DeviceCopies()
        self.time_ids = tuple(time_ids or ())
        self.has_sizes = 'time_ids' in needed
        entries = EXTRA_LATENTS.get(extra_latents, extra_latents) if isinstance(extra_latents, str) else extra_latents
        self.entries = tuple(entries or ())
        self.scaling_factor = autoencoder.scaling_factor
        self.num_filled = self._count_filled(unet_config.in_channels, autoencoder.vae.config.latent_channels)
        guidance = task = None
        if guidance_scale is not None:
            guidance = guidance_embedding(guidance_scale, unet_config.time_cond_proj_dim)
        if task_embedding is not None:
            task = task_numbers(task_embedding)
        self.register_buffer('guidance', guidance, persistent=False)
        self.register_buffer('task', task, persistent=False)

    def _count_filled(self, in_channels: int, latent_channels: int) -> int:
        """Return the number of channels that noise or zeros fill."""
        if not self.entries:
            return 0
        fillers = [entry for entry in self.entries if entry in FILLERS]
        filled = in_channels - latent_channels * (len(self.entries) - len(fillers))
        if len(fillers) > 1 or (filled > 0) != bool(fillers):
            raise ValueError(
                f'extra_latents={list(self.entries)}: the U-Net has {in_channels} input channels, and the latents of '
                f'an image {latent_channels}. Expected entries that fill them, at most one of {" and ".join(FILLERS)}'
            )
        return filled

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Add the extra latents.

        Args:
            latents (Tensor): Latents of the images ``(B, 4, h, w)``, not scaled if the U-Net has more input channels.

        Returns:
            Tensor: The input of the U-Net, ``(B, in_channels, h, w)``.
        """
        if not self.entries:
            return latents
        return torch.cat([self._make(entry, latents) for entry in self.entries], dim=1)

    def _make(self, entry: str, latents: torch.Tensor) -> torch.Tensor:
        if entry == 'image':
            return latents
        if entry == 'scaled image':
            return latents * self.scaling_factor
        shape = (1, self.num_filled, *latents.shape[-2:])
        if entry == 'zeros':
            return latents.new_zeros(shape).expand(latents.shape[0], -1, -1, -1)
        noise = self._copies.get(shape, lambda: seeded_noise(shape, _NOISE_SEED), latents.device, latents.dtype)
        return noise.expand(latents.shape[0], -1, -1, -1)

    def conditions(
        self, batch_size: int, pooled: torch.Tensor | None, size: Sequence[int]
    ) -> dict[str, torch.Tensor | dict | None]:
        """Return the arguments of the U-Net that hold its additional conditions; None for those that it does not have.

        Args:
            batch_size (int): Number of images ``B``.
            pooled (Tensor, optional): Pooled embedding of the prompts of each image ``(B, P)``, which SDXL needs.
            size (Sequence[int]): Height and width of the images that the autoencoder encodes.
        """
        return dict(
            timestep_cond=None if self.guidance is None else self.guidance.expand(batch_size, -1),  # (B, width)
            class_labels=None if self.task is None else self.task.expand(batch_size, -1),  # (B, 4)
            added_cond_kwargs=self._added(pooled, size) if self.has_sizes else None,
        )

    def _added(self, pooled, size):
        numbers = self.time_ids or (*size, 0, 0, *size)
        # In single precision, because half precision cannot represent every size.
        time_ids = self._copies.get(numbers, lambda: torch.tensor(numbers, dtype=torch.float32), pooled.device)
        return dict(text_embeds=pooled, time_ids=time_ids.expand(pooled.shape[0], -1))


def task_numbers(task: Sequence[float]) -> torch.Tensor:
    """Return the sines and then the cosines of the two numbers of a task ``(1, 4)``."""
    numbers = torch.tensor(task, dtype=torch.float32)
    return torch.cat([numbers.sin(), numbers.cos()])[None]


def guidance_embedding(scale: float, width: int) -> torch.Tensor:
    """Embed a guidance scale as diffusers does for latent consistency models: sines and cosines of the scale minus 1.

    Args:
        scale (float): The guidance scale.
        width (int): Width of the embedding, ``unet.config.time_cond_proj_dim``.

    Returns:
        Tensor: The embedding ``(1, width)``.
    """
    return get_timestep_embedding(torch.tensor([1000 * (scale - 1)]), width, downscale_freq_shift=1)


def _compare(needed: dict[str, str], given: dict):
    for argument, value in given.items():
        if argument in needed and value is None and argument not in WITH_DEFAULT:
            what = SERVED_INPUTS[needed[argument].partition('=')[0]][1]
            raise ValueError(
                f'{needed[argument]}: the U-Net of this arch needs {what}. Set {argument}: {_HINTS[argument]}'
            )
        if argument not in needed and value is not None:
            entry = next(name for name, (served, _) in SERVED_INPUTS.items() if served == argument)
            raise ValueError(
                f'{argument}={value!r}: the U-Net of this arch has no such input (see {entry} in its config), or '
                f'learned_timesteps replaces it. Leave {argument} out, or set arch to the folder of a model that has it'
            )
