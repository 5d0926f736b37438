"""Dense prediction by a deterministic diffusion process."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.structures import BaseDataElement
from pydantic import InstanceOf

from mmdiffperc.models.config_checks import Arch, AttentionLora, GeneratorInitCfg, Schedule
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, NonNegativeFloat, PositiveFloat, validated
from mmdiffperc.weights.noise_schedule import load_schedule

from .deterministic_process import DeterministicProcess, PredictionType, Sampler, Steps
from .diffusion_networks import DiffusionNetworks, share_or_build
from .losses import pool_valid, skipped_images
from .target_codec import TargetCodec, TargetMode, TargetScale, targets_of
from .target_generator import TargetGenerator


@MODELS.register_module()
@validated
class DeterministicDiffusion(TargetGenerator):
    """A text-to-image model that predicts the normals, depth, albedo, shading or segmentation of an image.

    A process carries the latents of the image to those of the target, see :class:`.DeterministicProcess`; the other
    parts are described in :class:`.TargetGenerator`.

    Only a low-rank adapter of the U-Net is trained. From `DMP <https://arxiv.org/abs/2311.18832>`_, which samples the
    autoencoder's posterior; here its mode is used.

    ``arch`` builds, ``init_cfg`` loads; a checkpoint holds everything that testing needs.

    Args:
        arch (str): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'tiny-sd'``, or a diffusers folder. Defaults to
            ``'sd1-4'``.
        target_mode (str): ``'RGB'``, ``'normals'`` or ``'F'``, see :class:`.TargetCodec`. Defaults to ``'RGB'``.
        target_scale (float | str): See :class:`.TargetCodec`. Defaults to 1.
        use_prompts (bool): Condition the U-Net on each image's caption rather than on an empty one. Defaults to True.
        guidance_scale (float): Weight of the caption in prediction: 0 ignores it, 1 means no guidance, and greater
            numbers exaggerate it. Defaults to 1.
        prediction_type (str): ``'v_prediction'``, ``'epsilon'`` or ``'sample'``. Defaults to ``'v_prediction'``.
        sampler (str): ``'ddim'``, ``'oracle'`` or ``'one_pass'``. Defaults to ``'ddim'``.
        num_steps (int): Steps from the image to the target. Defaults to 5.
        scheduler (dict, optional): Arguments of ``diffusers.DDIMScheduler``, such as
            ``dict(timestep_spacing='trailing')``, that replace values of the schedule of ``arch``.
        snr_trunc (float, optional): See :class:`.DeterministicProcess`.
        snr_gamma (float, optional): See :class:`.DeterministicProcess`.
        lora (dict, optional): The adapter: ``attention='all'`` (default) or ``'self'`` for self-attention only, rank
            ``r``, and any other argument of ``peft.LoraConfig``. None trains the U-Net itself. Defaults to
            ``dict(r=4)``.
        with_cp (bool): Save memory in training by gradient checkpointing. Defaults to False.
        data_preprocessor (dict, optional): Default: images are BGR, 0 to 255.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)`` with a hub id, a folder or a file, or
            one for each part, and optionally ``variant``, ``use_ema`` and ``lora``, see :func:`.load_weights`.
            ``components`` names the parts to load; the default is all of ``('unet', 'vae', 'text_encoder')``.
        networks (DiffusionNetworks, optional): Networks to share with another model of the same ``arch``, adapter
            included; requires ``lora=None`` and no ``with_cp``. Default: new ones.

    Raises:
        ValueError: Guidance without prompts or in a single pass; more steps than the schedule has; ``networks`` with
            ``lora`` or ``with_cp``; an unknown name.
    """

    def __init__(
        self,
        arch: Arch = 'sd1-4',
        target_mode: TargetMode = 'RGB',
        target_scale: TargetScale = 1.0,
        use_prompts: bool = True,
        guidance_scale: NonNegativeFloat = 1.0,
        prediction_type: PredictionType = 'v_prediction',
        sampler: Sampler = 'ddim',
        num_steps: Steps = 5,
        scheduler: Schedule | None = None,
        snr_trunc: PositiveFloat | None = None,
        snr_gamma: PositiveFloat | None = None,
        lora: AttentionLora | None = dict(r=4),  # noqa: B006 (never changed)
        with_cp: bool = False,
        data_preprocessor: Component | torch.nn.Module | None = None,
        init_cfg: GeneratorInitCfg | None = None,
        networks: InstanceOf[DiffusionNetworks] | None = None,
    ):
        process = DeterministicProcess(
            load_schedule(arch, **scheduler or {}), prediction_type, sampler, snr_trunc, snr_gamma
        )
        process.timesteps(num_steps)  # raises ValueError if the schedule has fewer
        _check_guidance(guidance_scale, use_prompts, sampler)
        super().__init__(
            networks=share_or_build(networks, arch, lora, with_cp),
            codec=TargetCodec(target_mode, target_scale),
            use_prompts=use_prompts,
            num_steps=num_steps,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.process = process
        self.guidance_scale = guidance_scale

    @property
    def adjustable(self) -> tuple[str, ...]:
        """The number of steps, unless there is a single pass; see :class:`.TargetGenerator`."""
        return () if self.process.sampler == 'one_pass' else ('num_steps',)

    def timesteps(self, num_steps: int | None = None) -> list[int]:
        """Return the timesteps from an image to its target, see :meth:`.DeterministicProcess.timesteps`."""
        return self.process.timesteps(self.num_steps if num_steps is None else num_steps)

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch, for each image at a random timestep; see :meth:`.TargetGenerator.forward`.

        Invalid pixels do not enter it, see :func:`.targets_of`. A latent counts if all of its pixels are valid;
        ``skipped_images`` is the number of images without such a latent.
        """
        images = self.networks.encode(inputs)  # (B, 4, h, w)
        targets, valid = targets_of(data_samples, inputs)
        targets = self.networks.encode(self.codec.encode(targets, valid))  # (B, 4, h, w)
        timesteps = self.process.draw_timesteps(len(images), images.device)
        prompt_embeds = self._embed(self._captions_of(data_samples), len(images))
        mixed = self.process.mix(images, targets, timesteps)
        prediction = self.networks.denoise(mixed, timesteps, prompt_embeds)
        expected = self.process.expected(images, targets, timesteps)
        valid = pool_valid(valid, self.autoencoder.stride)  # (B, 1, h, w)
        return dict(
            loss_latents=self.process.loss(prediction, expected, timesteps, valid),
            skipped_images=skipped_images(valid),
        )

    @torch.no_grad()
    def trace(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | torch.Tensor | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Go from images to targets step by step, see :meth:`.TargetGenerator.trace`."""
        networks = self.networks
        latents = networks.encode(images) if latents is None else latents
        batch_size = images.shape[0]  # len(images) would fix it in an exported graph
        prompt_embeds = self._embed(captions, batch_size)
        if self.guidance_scale != 1:
            prompt_embeds = torch.cat([prompt_embeds, self._embed_empty(batch_size)])

        def predict(latents, timestep):
            if self.guidance_scale == 1:
                return networks.denoise(latents, timestep, prompt_embeds)
            with_caption, without = networks.denoise(latents.repeat(2, 1, 1, 1), timestep, prompt_embeds).chunk(2)
            return without + self.guidance_scale * (with_caption - without)

        yield from self.process.run(predict, latents, self.num_steps if num_steps is None else num_steps)


def _check_guidance(guidance_scale: float, use_prompts: bool, sampler: str):
    if guidance_scale == 1:
        return
    if not use_prompts:
        raise ValueError(f'guidance_scale={guidance_scale} needs prompts: set use_prompts=True or guidance_scale=1')
    if sampler == 'one_pass':
        raise ValueError(f'guidance_scale={guidance_scale}: a single pass has no guidance; set it to 1')
