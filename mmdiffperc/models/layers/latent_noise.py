"""Noise on the latents of an image."""

from typing import Literal

import torch
from mmengine.logging import MMLogger

from mmdiffperc.models.config_checks import NUM_TIMESTEPS
from mmdiffperc.weights.noise_schedule import load_schedule

from .on_device import DeviceCopies, seeded_noise, timestep_on

NoiseKind = Literal['none', 'fixed', 'random']


class LatentNoise:
    """Add noise to latents as in the training of the diffusion model, with diffusers' ``add_noise``.

    Fixed noise depends only on the seed and the size of the latents: all images get the same noise, in any batch and on
    any device. Random noise comes from PyTorch's generator and differs for each image and call.

    Args:
        arch (str): Architecture with the noise schedule, see :func:`.load_schedule`.
        kind (str): ``'none'``, ``'fixed'`` or ``'random'``. Defaults to ``'none'``.
        seed (int): Seed of fixed noise. Defaults to 0.
        scaled (bool): Whether the latents are scaled as in the training. If they are not, noise causes a warning.
            Defaults to True.

    Raises:
        ValueError: ``kind`` needs a noise schedule of 1000 timesteps, but ``arch`` is a folder without one.
    """

    def __init__(self, arch: str, kind: NoiseKind = 'none', seed: int = 0, scaled: bool = True):
        self.kind = kind
        self.seed = seed
        self._copies = DeviceCopies()
        self.schedule = None if kind == 'none' else load_schedule(arch)
        if self.schedule and (steps := self.schedule.config.num_train_timesteps) != NUM_TIMESTEPS:
            raise ValueError(
                f'arch={str(arch)!r}: its noise schedule has num_train_timesteps={steps}, not {NUM_TIMESTEPS}'
            )
        if self.schedule and not scaled:
            MMLogger.get_current_instance().warning(
                f'noise={kind!r} with scale_latents=False: unscaled latents are larger than those in the training, '
                'so the noise is too weak. Set scale_latents=True'
            )

    def __call__(self, latents: torch.Tensor, timestep: int, index: int = 0) -> torch.Tensor:
        """Return latents ``(B, 4, h, w)`` with the noise of a timestep.

        Args:
            latents (Tensor): Latents without noise.
            timestep (int): The timestep.
            index (int): Selects one of several fixed noises. Defaults to 0.
        """
        if self.kind == 'none':
            return latents
        clean = latents.float()  # half precision cannot distinguish the first timesteps
        noise = torch.randn_like(clean) if self.kind == 'random' else self._fixed(clean, index)
        return self.schedule.add_noise(clean, noise, timestep_on(clean.device, timestep)).to(latents.dtype)

    def _fixed(self, latents, index):
        shape = (1, *latents.shape[1:])
        return self._copies.get((shape, index), lambda: seeded_noise(shape, self.seed + index), latents.device)
