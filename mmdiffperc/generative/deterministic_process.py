"""Diffusion without noise: it carries the latents of an image to those of a target."""

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr

from mmdiffperc.files import read_json
from mmdiffperc.validation import Expected, PositiveFloat, PositiveInt, validated
from mmdiffperc.weights.architectures import arch_folder

PREDICTION_TYPES = ('v_prediction', 'epsilon', 'sample')
SAMPLERS = ('ddim', 'oracle', 'one_pass')
ONE_PASS_TIMESTEP = 1
SCHEDULE = 'scheduler/scheduler_config.json'
PredictionType = Literal[PREDICTION_TYPES]
Sampler = Literal[SAMPLERS]
Steps = Annotated[PositiveInt, Expected('a number from 1 to less than that of the timesteps')]


def load_schedule(arch: str | Path, **options) -> DDIMScheduler:
    """Load the noise schedule of an architecture, for DDIM.

    Args:
        arch (str | Path): See :func:`.arch_folder`.
        **options: Arguments of ``diffusers.DDIMScheduler`` that differ, such as ``timestep_spacing='trailing'``.

    Raises:
        ValueError: ``arch`` is a folder without a schedule, or with a damaged one.
    """
    path = arch_folder(arch) / SCHEDULE
    if not path.is_file():
        raise ValueError(f'The arch folder {str(arch)!r} has no {SCHEDULE}: copy that of the Stable Diffusion it is of')
    return DDIMScheduler.from_config(read_json(path), **options)


@validated
class DeterministicProcess:
    r"""A diffusion process in which the latents :math:`x` of the image play the noise.

    Latents :math:`y` of the target are mixed with them to :math:`x_t = \sqrt{\bar\alpha_t} y +
    \sqrt{1 - \bar\alpha_t} x`, from which a network predicts :math:`\sqrt{\bar\alpha_t} x - \sqrt{1 - \bar\alpha_t} y`
    (``v_prediction``), :math:`x` (``epsilon``) or :math:`y` (``sample``). Nothing is random but the timestep in
    training. From `DMP <https://arxiv.org/abs/2311.18832>`_.

    Samplers start at the latents of the image, as they are:

    - ``ddim``: plain DDIM, which estimates both ends from each prediction.
    - ``oracle``: only the target is estimated from it; the other end is the image, which is known. (With ``epsilon``,
      where the prediction is that other end, it is plain DDIM, as in the official code.)
    - ``one_pass``: no process; one look at the image's latents, at timestep 1, gives the target's. It is also trained
      that way; the official code can only run it.

    Args:
        scheduler (DDIMScheduler): The noise schedule, and the spacing of the timesteps.
        prediction_type (str): ``'v_prediction'``, ``'epsilon'`` or ``'sample'``. Defaults to ``'v_prediction'``.
        sampler (str): ``'ddim'``, ``'oracle'`` or ``'one_pass'``. Defaults to ``'ddim'``.
        snr_trunc (float, optional): Weight the loss by the signal-to-noise ratio of :math:`y`, but at least by this
            (Salimans and Ho, ICLR 2022).
        snr_gamma (float, optional): The same, at most by this (Min-SNR, Hang et al., ICCV 2023). Both weights are those
            of a loss on ``sample`` and are converted to that of ``prediction_type``.

    Raises:
        ValueError: An unknown name; a single pass that does not predict the sample; a weight that is not positive, or a
            least one above the largest.
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
            raise ValueError(f'snr_trunc={snr_trunc} is the least weight: expected at most snr_gamma={snr_gamma}')
        self.scheduler = DDIMScheduler.from_config(scheduler.config, prediction_type=prediction_type)
        self.prediction_type = prediction_type
        self.sampler = sampler
        self.snr_trunc = snr_trunc
        self.snr_gamma = snr_gamma

    @property
    def num_timesteps(self) -> int:
        """Number of timesteps of the schedule."""
        return self.scheduler.config.num_train_timesteps

    def draw_timesteps(self, batch_size: int, device: torch.device | str) -> torch.Tensor:
        """Draw timesteps ``(B,)`` to train at: uniform; of a single pass, always the one at which it looks."""
        if self.sampler == 'one_pass':
            return torch.full((batch_size,), ONE_PASS_TIMESTEP, device=device)
        return torch.randint(self.num_timesteps, (batch_size,), device=device)

    def mix(self, images: torch.Tensor, targets: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return what the network looks at in training.

        Args:
            images (Tensor): Latents of the images ``(B, C, h, w)``, in single precision: halves cannot tell the first
                timesteps apart.
            targets (Tensor): Latents of the targets, likewise.
            timesteps (Tensor): ``(B,)``.
        """
        return images if self.sampler == 'one_pass' else self._copy_scheduler().add_noise(targets, images, timesteps)

    def expected(self, images: torch.Tensor, targets: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return what the network should predict; the arguments are those of :meth:`mix`."""
        if self.prediction_type == 'v_prediction':
            return self._copy_scheduler().get_velocity(targets, images, timesteps)
        return images if self.prediction_type == 'epsilon' else targets

    def loss(self, prediction: torch.Tensor, expected: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Mean squared error, each image weighted by its timestep."""
        errors = F.mse_loss(prediction.float(), expected.float(), reduction='none').flatten(1).mean(1)
        return (errors * self.loss_weights(timesteps)).mean()

    def loss_weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Weight of the loss at each timestep ``(B,)``."""
        if self.snr_trunc is None and self.snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float)
        snr = compute_snr(self.scheduler, timesteps)
        of_sample = snr.clamp(self.snr_trunc, self.snr_gamma)
        return of_sample / dict(v_prediction=snr + 1, epsilon=snr, sample=1)[self.prediction_type]

    def timesteps(self, num_steps: int) -> list[int]:
        """Return the timesteps of a run, from the image to the target.

        Raises:
            ValueError: The schedule does not have that many.
        """
        if self.sampler == 'one_pass':
            return [ONE_PASS_TIMESTEP]
        return self._scheduler_of_run(num_steps).timesteps.tolist()

    def _scheduler_of_run(self, num_steps: int) -> DDIMScheduler:
        if isinstance(num_steps, int) and 1 <= num_steps <= self.num_timesteps:
            scheduler = self._copy_scheduler()
            scheduler.set_timesteps(num_steps)
            if max(scheduler.timesteps) < self.num_timesteps:  # a full schedule plus an offset goes beyond the last one
                return scheduler
        raise ValueError(f'num_steps={num_steps!r}: expected a number from 1 to less than {self.num_timesteps}')

    def _copy_scheduler(self) -> DDIMScheduler:
        # diffusers keeps the steps of a run, and the device of its tables, in the scheduler; runs may overlap.
        return copy(self.scheduler)

    def run(self, predict: Callable, images: torch.Tensor, num_steps: int) -> Iterator[torch.Tensor]:
        """Go from the latents of images to those of their targets.

        Args:
            predict (Callable): The network, from latents ``(B, C, h, w)`` and a timestep to its prediction.
            images (Tensor): Latents of the images ``(B, C, h, w)``, in single precision.
            num_steps (int): Number of steps; a single pass has one in any case.

        Yields:
            Tensor: The latents ``(B, C, h, w)`` after each step.
        """
        if self.sampler == 'one_pass':
            yield predict(images, ONE_PASS_TIMESTEP).float()
            return
        scheduler, latents = self._scheduler_of_run(num_steps), images
        for timestep in scheduler.timesteps.tolist():
            latents = self._step(scheduler, predict(latents, timestep).float(), timestep, latents, images)
            yield latents

    def _step(self, scheduler, prediction, timestep, latents, images):
        step = scheduler.step(prediction, timestep, latents)
        if self.sampler == 'ddim' or self.prediction_type == 'epsilon':
            return step.prev_sample
        return self._mix_before(scheduler, timestep, images, step.pred_original_sample)

    def _mix_before(self, scheduler, timestep, images, targets):
        """Return the mixture at the timestep that DDIM has before this one, the last of which the schedule defines."""
        before = timestep - self.num_timesteps // scheduler.num_inference_steps
        if before < 0 and scheduler.config.set_alpha_to_one:
            return targets
        return scheduler.add_noise(targets, images, torch.tensor([max(before, 0)]))


def check_choice(argument: str, value: str, choices: tuple[str, ...]):
    """Check a name.

    Raises:
        ValueError: It is none of the choices.
    """
    if value not in choices:
        raise ValueError(f'{argument}={value!r}: expected one of {", ".join(choices)}')
