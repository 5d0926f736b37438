"""Diffusion without noise, from the latents of an image to those of a target."""

from collections.abc import Callable, Iterator
from copy import copy
from types import SimpleNamespace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr

from mmdiffperc.models.layers.on_device import DeviceCopies, timestep_on
from mmdiffperc.validation import Expected, PositiveFloat, PositiveInt, validated

from .losses import masked_mean

PREDICTION_TYPES = ('v_prediction', 'epsilon', 'sample')
ONE_PASS_TIMESTEP = 1
PredictionType = Literal[PREDICTION_TYPES]
Sampler = Literal['ddim', 'oracle', 'one_pass']
Steps = Annotated[PositiveInt, Expected('a number from 1 to less than the number of timesteps')]


@validated
class DeterministicProcess:
    r"""A diffusion process in which the image takes the place of the noise.

    At timestep :math:`t`, the latents :math:`x` of the image and :math:`y` of the target are mixed to :math:`x_t =
    \sqrt{\bar\alpha_t} y + \sqrt{1 - \bar\alpha_t} x`. From them a network predicts :math:`\sqrt{\bar\alpha_t} x -
    \sqrt{1 - \bar\alpha_t} y` (``v_prediction``), :math:`x` (``epsilon``) or :math:`y` (``sample``). Only the timestep
    drawn in training is random. From `DMP <https://arxiv.org/abs/2311.18832>`_.

    A run starts at the latents of the image. The samplers:

    - ``ddim``: plain DDIM, which estimates both ends of the process from each prediction.
    - ``oracle``: only the target is estimated; the other end is the known image. (With ``epsilon``, which predicts that
      end, this is plain DDIM, as in the official code.)
    - ``one_pass``: no process; a single pass at timestep 1 turns the image's latents into the target's. Training uses
      the same pass, whereas the official code supports it for prediction only.

    Args:
        scheduler (DDIMScheduler): The noise schedule and the spacing of the timesteps. It is never changed.
        prediction_type (str): What the network predicts. Defaults to ``'v_prediction'``.
        sampler (str): One of the above. Defaults to ``'ddim'``.
        snr_trunc (float, optional): Weight the loss by the signal-to-noise ratio of :math:`y`, with this lower limit
            (Salimans and Ho, ICLR 2022).
        snr_gamma (float, optional): Weight the loss by the signal-to-noise ratio, with this upper limit (Min-SNR, Hang
            et al., ICCV 2023). Both weights are defined for a loss on ``sample`` and are converted to one on
            ``prediction_type``.

    Raises:
        ValueError: An unknown name; a single pass that does not predict the sample; a limit that is not positive, or a
            lower limit above the upper one.
    """

    def __init__(
        self,
        scheduler: DDIMScheduler,
        prediction_type: PredictionType = 'v_prediction',
        sampler: Sampler = 'ddim',
        snr_trunc: PositiveFloat | None = None,
        snr_gamma: PositiveFloat | None = None,
    ):
        if sampler == 'one_pass' and prediction_type != 'sample':
            raise ValueError(f"sampler='one_pass' needs prediction_type='sample', got {prediction_type!r}")
        if snr_trunc and snr_gamma and snr_trunc > snr_gamma:
            raise ValueError(f'snr_trunc={snr_trunc} is the lower limit: expected at most snr_gamma={snr_gamma}')
        self.scheduler = DDIMScheduler.from_config(scheduler.config, prediction_type=prediction_type)
        self.prediction_type = prediction_type
        self.sampler = sampler
        self.snr_trunc = snr_trunc
        self.snr_gamma = snr_gamma
        self._schedules = {}
        self._copies = DeviceCopies()

    @property
    def num_timesteps(self) -> int:
        """Number of timesteps of the schedule."""
        return self.scheduler.config.num_train_timesteps

    def draw_timesteps(self, batch_size: int, device: torch.device | str) -> torch.Tensor:
        """Draw the timesteps ``(B,)`` of a training batch uniformly; a single pass always has the same one."""
        if self.sampler == 'one_pass':
            return torch.full((batch_size,), ONE_PASS_TIMESTEP, device=device)
        return torch.randint(self.num_timesteps, (batch_size,), device=device)

    def mix(self, images: torch.Tensor, targets: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return the latents :math:`x_t` that the network is trained on.

        Args:
            images (Tensor): Latents of the images ``(B, C, h, w)``, in single precision: half precision cannot
                distinguish the first timesteps.
            targets (Tensor): Latents of the targets, likewise.
            timesteps (Tensor): ``(B,)``.
        """
        if self.sampler == 'one_pass':
            return images
        of_target, of_image = self._coefficients(timesteps)
        return of_target * targets + of_image * images

    def expected(self, images: torch.Tensor, targets: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return what the network should predict; the arguments are those of :meth:`mix`."""
        if self.prediction_type == 'v_prediction':
            of_target, of_image = self._coefficients(timesteps)
            return of_target * images - of_image * targets
        return images if self.prediction_type == 'epsilon' else targets

    def _coefficients(self, timesteps):
        r""":math:`\sqrt{\bar\alpha_t}` and :math:`\sqrt{1 - \bar\alpha_t}`, each ``(B, 1, 1, 1)``."""
        alphas = self._alphas(timesteps.device)[timesteps].reshape(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()

    def _alphas(self, device):
        r""":math:`\bar\alpha` of all timesteps."""
        return self._copies.get('alphas', lambda: self.scheduler.alphas_cumprod, device)

    def loss(
        self, prediction: torch.Tensor, expected: torch.Tensor, timesteps: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean squared error, in which the timestep of each image determines its weight.

        Args:
            prediction (Tensor): ``(B, C, h, w)``.
            expected (Tensor): ``(B, C, h, w)``.
            timesteps (Tensor): ``(B,)``.
            valid (Tensor): The latents that count, boolean ``(B, 1, h, w)``. Images without any are left out.
        """
        errors = F.mse_loss(prediction.float(), expected.float(), reduction='none')
        errors = masked_mean(errors, valid, (1, 2, 3)) * self.loss_weights(timesteps)
        return masked_mean(errors, valid.flatten(1).any(1))

    def loss_weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Return the weight of the loss at each timestep ``(B,)``."""
        if self.snr_trunc is None and self.snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float)
        snr = compute_snr(SimpleNamespace(alphas_cumprod=self._alphas(timesteps.device)), timesteps)
        of_sample = snr.clamp(self.snr_trunc, self.snr_gamma)
        return of_sample / dict(v_prediction=snr + 1, epsilon=snr, sample=1)[self.prediction_type]

    def timesteps(self, num_steps: int) -> list[int]:
        """Return the timesteps of a run, from the image to the target.

        Raises:
            ValueError: The schedule has fewer timesteps.
        """
        return [ONE_PASS_TIMESTEP] if self.sampler == 'one_pass' else list(self._schedule(num_steps)[1])

    def run(self, predict: Callable, images: torch.Tensor, num_steps: int) -> Iterator[torch.Tensor]:
        """Go from the latents of images to those of their targets.

        Args:
            predict (Callable): The network, from latents ``(B, C, h, w)`` and a timestep to its prediction.
            images (Tensor): Latents of the images ``(B, C, h, w)``, in single precision.
            num_steps (int): Number of steps; a single pass always has one.

        Yields:
            Tensor: The latents ``(B, C, h, w)`` after each step.
        """
        if self.sampler == 'one_pass':
            yield predict(images, ONE_PASS_TIMESTEP).float()
            return
        latents = images
        schedule, timesteps = self._schedule(num_steps)
        for timestep in timesteps:
            latents = self._step(schedule, predict(latents, timestep).float(), timestep, latents, images)
            yield latents

    def _schedule(self, num_steps):
        """Return the noise schedule of a run, which no step changes, and its timesteps."""
        if isinstance(num_steps, int) and 1 <= num_steps <= self.num_timesteps:
            # Kept, because a tensor of timesteps that is made while a graph is traced has no values.
            if num_steps not in self._schedules:
                schedule = copy(self.scheduler)  # diffusers keeps the timesteps in it, and runs may overlap
                schedule.set_timesteps(num_steps)
                self._schedules[num_steps] = schedule, tuple(schedule.timesteps.tolist())
            schedule, timesteps = self._schedules[num_steps]
            if max(timesteps) < self.num_timesteps:  # a full schedule plus an offset exceeds the last timestep
                return schedule, timesteps
        raise ValueError(f'num_steps={num_steps!r}: expected a number from 1 to less than {self.num_timesteps}')

    def _step(self, schedule, prediction, timestep, latents, images):
        step = schedule.step(prediction, timestep, latents)
        if self.sampler == 'ddim' or self.prediction_type == 'epsilon':
            return step.prev_sample
        targets = step.pred_original_sample
        before = timestep - self.num_timesteps // schedule.num_inference_steps  # as DDIM counts
        if before < 0 and schedule.config.set_alpha_to_one:
            return targets
        return self.mix(images, targets, timestep_on(images.device, max(before, 0)))
