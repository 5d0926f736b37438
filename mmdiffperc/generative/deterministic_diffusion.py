"""Dense prediction by a deterministic diffusion process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData
from pydantic import InstanceOf

from mmdiffperc.models.config_checks import Arch, AttentionLora, GeneratorInitCfg, Schedule
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, NonNegativeFloat, PositiveFloat, validated
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.loading import initialise
from mmdiffperc.weights.lora import load_lora, save_lora
from mmdiffperc.weights.noise_schedule import load_schedule

from .captions import captions_of, clean_captions
from .deterministic_process import DeterministicProcess, PredictionType, Sampler, Steps
from .diffusion_networks import DiffusionNetworks
from .losses import masked_mean, pool_valid
from .target_codec import TargetCodec, TargetMode, TargetScale, targets_of

COMPLETENESS = Completeness(
    'Check that its config has the same arch and lora as this one; Stable Diffusion weights are loaded by init_cfg, a '
    'LoRA file by load_lora',
    whole=True,
)
IMAGES = dict(type=ImgDataPreprocessor, mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


@MODELS.register_module()
@validated
class DeterministicDiffusion(BaseModel):
    """A text-to-image model that predicts the normals, depth, albedo, shading or segmentation of an image.

    It consists of the whole generator, see :class:`.DiffusionNetworks`; a process that carries the latents of the image
    to those of the target, see :class:`.DeterministicProcess`; and a codec between target maps and the images of the
    autoencoder, see :class:`.TargetCodec`::

        image --encode--> latents --process--> latents --decode--> image --codec--> target map

    Only a low-rank adapter of the U-Net is trained. From `DMP <https://arxiv.org/abs/2311.18832>`_, which samples the
    autoencoder's posterior; here its mode is used.

    The true target of a data sample is ``gt_target``, a ``PixelData`` whose ``data`` is ``(3, H, W)`` or ``(1, H, W)``,
    and with ``use_prompts`` its caption is ``text``. The prediction is ``pred_target``, in the same form. Pixels whose
    target is not finite, or that are False in ``gt_valid`` ``(1, H, W)``, are not learned.

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
        loss_on (str): Where the squared error is computed: ``'latents'``; or ``'pixels'``, which backpropagates through
            the frozen decoder and needs ``sampler='one_pass'``. Defaults to ``'latents'``.
        networks (DiffusionNetworks, optional): Networks to share with another model of the same ``arch``, adapter
            included; requires ``lora=None`` and no ``with_cp``. Default: new ones.

    Raises:
        ValueError: Guidance without prompts or in a single pass; a loss on pixels without a single pass; more steps
            than the schedule has; ``networks`` with ``lora`` or ``with_cp``; an unknown name.
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
        loss_on: Literal['latents', 'pixels'] = 'latents',
        networks: InstanceOf[DiffusionNetworks] | None = None,
    ):
        super().__init__(data_preprocessor or IMAGES, init_cfg)
        schedule = load_schedule(arch, **scheduler or {})
        self.process = DeterministicProcess(schedule, prediction_type, sampler, snr_trunc, snr_gamma)
        self.process.timesteps(num_steps)  # raises ValueError if the schedule has fewer
        self.codec = TargetCodec(target_mode, target_scale)
        self.num_steps = num_steps
        self.use_prompts = use_prompts
        self.guidance_scale = guidance_scale
        self.loss_on = loss_on
        self._check_combination()

        if networks and (lora or with_cp):
            raise ValueError(f'networks cannot be combined with lora={lora} and with_cp={with_cp}: set None and False')
        networks = networks or DiffusionNetworks.build(arch, lora, with_cp)
        self.autoencoder = networks.autoencoder
        self.text_encoder = networks.text_encoder
        self.unet = networks.unet
        COMPLETENESS.attach(self)

    @property
    def networks(self) -> DiffusionNetworks:
        """The networks of this model.

        They are submodules of the model itself: checkpoints name them ``unet``, ``autoencoder`` and ``text_encoder``,
        and a wrapper may replace each of them, as FSDP does.
        """
        return DiffusionNetworks(self.autoencoder, self.unet, self.text_encoder)

    def _check_combination(self):
        if self.guidance_scale != 1 and not self.use_prompts:
            raise ValueError(
                f'guidance_scale={self.guidance_scale} needs prompts: set use_prompts=True or guidance_scale=1'
            )
        if self.guidance_scale != 1 and self.process.sampler == 'one_pass':
            raise ValueError(f'guidance_scale={self.guidance_scale}: a single pass has no guidance; set it to 1')
        if self.loss_on == 'pixels' and self.process.sampler != 'one_pass':
            raise ValueError(f"loss_on='pixels' needs sampler='one_pass', got {self.process.sampler!r}")

    def init_weights(self):
        """Load the pre-trained weights that ``init_cfg`` names."""
        parts = dict(unet=self.unet, vae=self.autoencoder.vae, text_encoder=self.text_encoder.clip)
        source = initialise(self, parts)
        if source and 'text_encoder' in source.files:
            self.text_encoder.note_weights()

    def load_lora(self, path: str | Path):
        """Exchange the adapter for the one in a file or folder, see :func:`.load_lora`."""
        load_lora(self.unet, path)

    def save_lora(self, folder: str | Path):
        """Write the adapter for diffusers, see :func:`.save_lora`."""
        save_lora(self.unet, folder)

    def forward(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, torch.Tensor] | list[BaseDataElement] | torch.Tensor:
        """Train or predict.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``, RGB in [-1, 1], of any size.
            data_samples (Sequence[BaseDataElement], optional): One for each image; needed for training and prompts.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``. Defaults to ``'tensor'``.

        Returns:
            dict | list | Tensor: The loss; the data samples with ``pred_target``; or target maps ``(B, 3 or 1, H, W)``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.estimate(inputs, self._captions_of(data_samples))

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch, for each image at a random timestep; see :meth:`forward`.

        Invalid pixels do not enter it, see :func:`.targets_of`. A latent counts if all of its pixels are valid;
        ``skipped_images`` is the number of images without such a latent.
        """
        images = self.networks.encode(inputs)  # (B, 4, h, w)
        targets, valid = targets_of(data_samples, inputs)
        targets = self.codec.encode(targets, valid)  # (B, 3, H, W)
        timesteps = self.process.draw_timesteps(len(images), images.device)
        prompt_embeds = self._embed(self._captions_of(data_samples), len(images))
        loss = self._loss_on_pixels if self.loss_on == 'pixels' else self._loss_on_latents
        return loss(images, targets, valid, timesteps, prompt_embeds)

    def _loss_on_latents(self, images, targets, valid, timesteps, prompt_embeds):
        targets = self.networks.encode(targets)  # (B, 4, h, w)
        mixed = self.process.mix(images, targets, timesteps)
        prediction = self.networks.denoise(mixed, timesteps, prompt_embeds)
        expected = self.process.expected(images, targets, timesteps)
        valid = pool_valid(valid, self.autoencoder.stride)  # (B, 1, h, w)
        return dict(
            loss_latents=self.process.loss(prediction, expected, timesteps, valid),
            skipped_images=(~valid).flatten(1).all(1).sum().float(),
        )

    def _loss_on_pixels(self, images, targets, valid, timesteps, prompt_embeds):
        prediction = self.networks.denoise(images, timesteps, prompt_embeds)
        decoded = self.networks.decode(prediction, targets.shape[-2:])
        return dict(loss_pixels=masked_mean((decoded - targets) ** 2, valid))

    def predict(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Predict targets, each in the size (``ori_shape``) with which its image was loaded; see :meth:`forward`."""
        maps = self.estimate(inputs, self._captions_of(data_samples))
        data_samples = data_samples or [BaseDataElement() for _ in inputs]
        for sample, prediction in zip(data_samples, maps, strict=True):
            inner = tuple(sample.get('img_shape', prediction.shape[-2:])[:2])
            if inner != tuple(prediction.shape[-2:]):  # a batch of several sizes was padded
                prediction = self.codec.crop(prediction, inner)
            if (size := tuple(sample.get('ori_shape', inner)[:2])) != inner:
                prediction = self.codec.resize(prediction, size)
            sample.pred_target = PixelData(data=prediction)
        return list(data_samples)

    def estimate(
        self, images: torch.Tensor, captions: Sequence[str] | None = None, num_steps: int | None = None
    ) -> torch.Tensor:
        """Estimate the targets of images.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1], of any size.
            captions (Sequence[str], optional): One for each image; needed with ``use_prompts``.
            num_steps (int, optional): Number of steps. Default: the model's.

        Returns:
            Tensor: Target maps ``(B, 3 or 1, H, W)``.
        """
        *_, latents = self.trace(images, captions, num_steps)
        return self.decode(latents, images.shape[-2:])

    @torch.no_grad()
    def trace(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Go from images to targets step by step, with the arguments of :meth:`estimate`.

        Args:
            images (Tensor): ``(B, 3, H, W)``.
            captions (Sequence[str], optional): One for each image.
            num_steps (int, optional): Number of steps.
            latents (Tensor, optional): Latents of the images ``(B, 4, h, w)``, in single precision. Default: encode the
                images.

        Yields:
            Tensor: Latents ``(B, 4, h, w)`` after each step, for :meth:`decode`.
        """
        networks = self.networks
        latents = networks.encode(images) if latents is None else latents
        prompt_embeds = self._embed(captions, len(images))
        if self.guidance_scale != 1:
            prompt_embeds = torch.cat([prompt_embeds, self._embed_empty(len(images))])

        def predict(latents, timestep):
            if self.guidance_scale == 1:
                return networks.denoise(latents, timestep, prompt_embeds)
            with_caption, without = networks.denoise(latents.repeat(2, 1, 1, 1), timestep, prompt_embeds).chunk(2)
            return without + self.guidance_scale * (with_caption - without)

        yield from self.process.run(predict, latents, self.num_steps if num_steps is None else num_steps)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Decode latents of targets to target maps ``(B, 3 or 1, H, W)`` of a height and width."""
        return self.codec.decode(self.networks.decode(latents, size))

    def _captions_of(self, data_samples):
        return captions_of(data_samples) if self.use_prompts else None

    def _embed(self, captions, batch_size):
        """Return prompt embeddings ``(B, 77, C)``."""
        if not self.use_prompts:
            return self._embed_empty(batch_size)
        return self.networks.embed(clean_captions(captions, batch_size))

    def _embed_empty(self, batch_size):
        return self.networks.embed(['']).expand(batch_size, -1, -1)


@MODELS.register_module()
@validated
class PixelRegression(DeterministicDiffusion):
    """:class:`DeterministicDiffusion` with ``loss_on='pixels'``: plain regression, the baseline of DMP.

    Args:
        **kwargs: Arguments of :class:`.DeterministicDiffusion`. ``sampler='one_pass'`` and
            ``prediction_type='sample'`` are required.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, loss_on='pixels', **kwargs)
