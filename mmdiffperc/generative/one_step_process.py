"""From the latents of an image to those of its target in one pass, or a few."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Literal

import torch
from diffusers import DDIMScheduler
from diffusers.utils.torch_utils import randn_tensor
from mmengine.logging import MMLogger

from mmdiffperc.models.config_checks import Timestep
from mmdiffperc.validation import validated

from .deterministic_process import PredictionType

TargetInput = Literal['zeros', 'noise']
LEAST_SIGNAL = 1e-7  # of alphas_cumprod; a schedule with zero terminal signal-to-noise ratio has less


@validated
class OneStepProcess:
    r"""A diffusion process that is trained at its first step only.

    The network sees the latents of the image and, with ``target_input``, those of the target so far, which start as
    zeros (`E2E-FT <https://arxiv.org/abs/2409.11355>`_) or noise (`Marigold <https://arxiv.org/abs/2312.02145>`_).
    Without it, the image takes the place of the noise (`GenPercept <https://arxiv.org/abs/2403.06090>`_, `Lotus
    <https://arxiv.org/abs/2409.18124>`_). The prediction becomes clean latents of the target: with ``sample`` it is the
    latents themselves, and with ``v_prediction`` :math:`\sqrt{\bar\alpha_t} x_t - \sqrt{1 - \bar\alpha_t} v`.

    Args:
        scheduler (DDIMScheduler): The noise schedule and the spacing of the timesteps. It is never changed.
        prediction_type (str): What the network predicts: ``'v_prediction'``, ``'epsilon'`` or ``'sample'``.
        target_input (str, optional): ``'zeros'`` or ``'noise'``.
        timestep (int, optional): Timestep of a single pass. Default: where the schedule's only step is. With trailing
            spacing that is the last one (999), with leading spacing one of the first.
        last (str): What the last of several steps returns: the ``'clean'`` latents; or the ``'previous'`` ones of DDIM,
            as in diffusers' pipelines. They differ if the schedule has ``set_alpha_to_one=False``.

    Raises:
        ValueError: The timestep has no signal, so the target cannot be computed from a predicted ``epsilon``.
    """

    def __init__(
        self,
        scheduler: DDIMScheduler,
        prediction_type: PredictionType = 'v_prediction',
        target_input: TargetInput | None = None,
        timestep: Timestep | None = None,
        last: Literal['clean', 'previous'] = 'clean',
    ):
        self.scheduler = DDIMScheduler.from_config(scheduler.config, prediction_type=prediction_type)
        self.target_input = target_input
        self.timestep = self._default_timestep() if timestep is None else timestep
        self.last = last
        if prediction_type == 'epsilon' and not self.has_signal:
            raise ValueError(
                f"prediction_type='epsilon' at timestep {self.timestep}: the schedule has no signal there (zero "
                'terminal signal-to-noise ratio), so the target cannot be computed from the noise. Set '
                "'v_prediction' or 'sample', or rescale_betas_zero_snr=False"
            )

    @property
    def has_signal(self) -> bool:
        """Whether the latents of the target take part in the noisy ones at the timestep of a single pass."""
        return self.scheduler.alphas_cumprod[self.timestep].item() > LEAST_SIGNAL

    def only_step(self) -> int:
        """Return where the schedule's only step is."""
        return int(self._schedule(1).timesteps[0])

    def _default_timestep(self):
        timestep = self.only_step()
        if self.scheduler.config.timestep_spacing == 'leading':
            MMLogger.get_current_instance().warning(
                f"With timestep_spacing='leading', a single step is at timestep {timestep}, where diffusion models "
                "expect hardly any noise. Set timestep, or scheduler=dict(timestep_spacing='trailing'), unless the "
                'model was trained this way'
            )
        return timestep

    def timesteps(self, num_steps: int) -> list[int]:
        """Return the timesteps of a run.

        Raises:
            ValueError: The schedule has fewer, or there is no ``target_input`` to refine in several steps.
        """
        return [self.timestep] if num_steps == 1 else self._schedule(num_steps).timesteps.tolist()

    def start(
        self, images: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator] | None = None
    ) -> torch.Tensor:
        """Return the latents of the target before the first step.

        Args:
            images (Tensor): Latents of the images ``(B, 4, h, w)``, in single precision.
            generator (torch.Generator | Sequence[torch.Generator], optional): For noise, or one for the noise of each
                image. Default: PyTorch's global one.
        """
        if self.target_input is None:
            return images
        if self.target_input == 'zeros':
            return torch.zeros_like(images)
        return randn_tensor(images.shape, generator=generator, device=images.device, dtype=images.dtype)

    def inputs(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the input of the U-Net: the latents of the images, followed by those of the targets so far."""
        return images if self.target_input is None else torch.cat([images, targets], dim=1)  # (B, 4 or 8, h, w)

    def clean(self, prediction: torch.Tensor, targets: torch.Tensor, timestep: int | None = None) -> torch.Tensor:
        """Return the clean latents of the target that a prediction amounts to.

        Args:
            prediction (Tensor): Output of the U-Net ``(B, 4, h, w)``.
            targets (Tensor): Latents of the target before the step, see :meth:`start`.
            timestep (int, optional): Default: the timestep of a single pass.
        """
        timestep = self.timestep if timestep is None else timestep
        return self._schedule(1).step(prediction.float(), timestep, targets).pred_original_sample

    def run(
        self, predict: Callable, images: torch.Tensor, targets: torch.Tensor, num_steps: int
    ) -> Iterator[torch.Tensor]:
        """Go from the latents of images to those of their targets.

        Args:
            predict (Callable): The network, from its input ``(B, 4 or 8, h, w)`` and a timestep to its prediction.
            images (Tensor): Latents of the images ``(B, 4, h, w)``, in single precision.
            targets (Tensor): Latents of the targets before the first step, see :meth:`start`.
            num_steps (int): Number of steps.

        Yields:
            Tensor: The latents ``(B, 4, h, w)`` after each step.
        """
        timesteps, schedule = self.timesteps(num_steps), self._schedule(num_steps)
        for timestep in timesteps:
            step = schedule.step(predict(self.inputs(images, targets), timestep).float(), timestep, targets)
            is_clean = timestep == timesteps[-1] and self.last == 'clean'
            targets = step.pred_original_sample if is_clean else step.prev_sample
            yield targets

    def _schedule(self, num_steps: int) -> DDIMScheduler:
        """Return the noise schedule with the timesteps of a run."""
        limit = self.scheduler.config.num_train_timesteps
        if num_steps not in range(1, limit):
            raise ValueError(f'num_steps={num_steps!r}: expected a number from 1 to less than {limit}')
        if num_steps > 1 and self.target_input is None:
            raise ValueError(
                f'num_steps={num_steps}: a U-Net that takes the latents of the image only has a single step. Set '
                "num_steps=1, or train with target_input='noise'"
            )
        schedule = copy(self.scheduler)  # diffusers keeps the timesteps in it, and runs may overlap
        schedule.set_timesteps(num_steps)
        return schedule
