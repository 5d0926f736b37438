"""Noise on the latents of an image."""

from typing import Literal

import torch
from mmengine.logging import MMLogger

from mmdiffperc.weights.noise_schedule import load_schedule

NoiseKind = Literal['none', 'fixed', 'random']


class LatentNoise:
    """Add noise to latents as in the training of the diffusion model, by diffusers' ``add_noise``.

    Fixed noise depends on the seed and the size of the latents. It is the same for all images, in any batch, and
    on all devices.

    Args:
        arch (str): Architecture whose noise schedule counts, see :func:`.load_schedule`.
        kind (str): ``'none'``, ``'fixed'``, or ``'random'`` for other noise in each call, from PyTorch's generator.
        seed (int): Seed of fixed noise. Defaults to 0.
        scaled (bool): Whether the latents have the scale of the training; if not, a warning says so. Defaults to True.

    Raises:
        ValueError: ``arch`` is a folder without a noise schedule, and ``kind`` needs it.
    """

    def __init__(self, arch: str, kind: NoiseKind = 'none', seed: int = 0, scaled: bool = True):
        self.kind = kind
        self.seed = seed
        self.schedule = None if kind == 'none' else load_schedule(arch)
        if self.schedule and not scaled:
            MMLogger.get_current_instance().warning(
                f'noise={kind!r} with scale_latents=False: unscaled latents are several times larger than those of the '
                'training, and the noise is not. Set scale_latents=True'
            )

    def __call__(self, latents: torch.Tensor, timestep: int, index: int = 0) -> torch.Tensor:
        """Return latents ``(B, 4, h, w)`` with the noise of a timestep.

        Args:
            latents (Tensor): Latents without noise.
            timestep (int): The timestep.
            index (int): Number of the fixed noise, of which there are several for one seed. Defaults to 0.
        """
        if self.kind == 'none':
            return latents
        clean = latents.float()  # half precision cannot distinguish the first timesteps
        noise = torch.randn_like(clean) if self.kind == 'random' else self._fixed(clean, index)
        return self.schedule.add_noise(clean, noise, torch.tensor([timestep])).to(latents.dtype)

    def _fixed(self, latents, index):
        generator = torch.Generator().manual_seed(self.seed + index)  # of the CPU: the same numbers on all devices
        return torch.randn(1, *latents.shape[1:], generator=generator).to(latents.device)
