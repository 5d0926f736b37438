"""Dense prediction by a deterministic diffusion process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.models.checkpointing import enable_checkpointing, refuse_reentrant_checkpointing
from mmdiffperc.models.config_checks import Arch, AttentionLora, GeneratorInitCfg, Schedule
from mmdiffperc.models.layers.image_check import REMEDY, check_form
from mmdiffperc.models.layers.latent_autoencoder import LatentAutoencoder
from mmdiffperc.models.layers.sentence_encoder import LONGEST, SentenceEncoder
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, NonNegativeFloat, PositiveFloat, validated
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.loading import initialise
from mmdiffperc.weights.lora import add_attention_lora, load_lora, save_lora

from .captions import captions_of, clean_captions
from .deterministic_process import DeterministicProcess, PredictionType, Sampler, Steps, check_choice, load_schedule
from .target_codec import TargetCodec, TargetMode, TargetScale, check_number, targets_of

CACHED_SENTENCES = 1024
COMPLETENESS = Completeness(
    'Check that its config has the same arch and lora as this one; Stable Diffusion weights are loaded by init_cfg, a '
    'LoRA file by load_lora',
    whole=True,
)
IMAGES = dict(type=ImgDataPreprocessor, mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


@MODELS.register_module()
@validated
class DeterministicDiffusion(BaseModel):
    """A text-to-image diffusion model that turns an image into its normals, depth, albedo, shading or segmentation.

    The generator stays whole, decoder included. A deterministic process, see :class:`.DeterministicProcess`, carries
    the latents of the image to those of the target, and a low-rank adapter of the U-Net is all that is trained. From
    `DMP <https://arxiv.org/abs/2311.18832>`_, whose samples of the autoencoder's posterior are its mode here.

    A data sample holds its true target as ``gt_target``, a ``PixelData`` whose ``data`` is ``(3, H, W)`` or
    ``(1, H, W)``, see :class:`.TargetCodec`; and, with ``use_prompts``, its caption as ``text``. The prediction is its
    ``pred_target``, of the same form.

    ``arch`` builds, ``init_cfg`` loads; a checkpoint holds all that is needed to test it. :meth:`save_lora` and
    :meth:`load_lora` exchange the adapter alone.

    Args:
        arch (str): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'tiny-sd'``, or a diffusers folder. Defaults to
            ``'sd1-4'``.
        target_mode (str): ``'RGB'`` or ``'F'``, for targets of three channels or one. Defaults to ``'RGB'``.
        target_scale (float | str): What counts as 1 in targets of one channel, or ``'per_image'``. Defaults to 1.
        use_prompts (bool): Tell the U-Net each image's caption; otherwise the empty one. Defaults to True.
        guidance_scale (float): How far predictions go from those without a caption to those with it, and beyond, if
            more than 1. Only in testing. Defaults to 1, that is, no guidance.
        prediction_type (str): ``'v_prediction'``, ``'epsilon'`` or ``'sample'``. Defaults to ``'v_prediction'``.
        sampler (str): ``'ddim'``, ``'oracle'`` or ``'one_pass'``. Defaults to ``'ddim'``.
        num_steps (int): Steps from the image to the target. Defaults to 5.
        scheduler (dict, optional): What differs from the schedule of ``arch``: arguments of
            ``diffusers.DDIMScheduler``, such as ``dict(timestep_spacing='trailing')``.
        snr_trunc (float, optional): See :class:`.DeterministicProcess`.
        snr_gamma (float, optional): See :class:`.DeterministicProcess`.
        lora (dict, optional): The adapter: ``attention='all'`` (default) or ``'self'`` for self-attention only, rank
            ``r``, and any other argument of ``peft.LoraConfig``. None trains the U-Net itself. Defaults to
            ``dict(r=4)``.
        with_cp (bool): Save memory in training by gradient checkpointing. Defaults to False.
        data_preprocessor (dict, optional): Default: images are BGR, 0 to 255.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)`` with a hub id, a diffusers folder or a
            CompVis single file, see :func:`.load_weights`, whose ``variant`` and
            ``use_ema`` may stand beside it. ``components`` names the parts to load, all of ``('unet', 'vae',
            'text_encoder')`` by default.
        networks_of (DeterministicDiffusion, optional): A model of the same ``arch`` whose networks this one shares,
            adapter included, instead of having its own; then ``lora``, ``with_cp`` and ``init_cfg`` say nothing.

    Raises:
        ValueError: Guidance without prompts or in a single pass; a number of steps that the schedule does not have; an
            unknown name.
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
        networks_of: 'DeterministicDiffusion | None' = None,
    ):
        super().__init__(data_preprocessor or IMAGES, init_cfg)
        self.codec = TargetCodec(target_mode, target_scale)
        schedule = load_schedule(arch, **scheduler or {})
        self.process = DeterministicProcess(schedule, prediction_type, sampler, snr_trunc, snr_gamma)
        self.process.timesteps(num_steps)  # raises where there are not so many
        self.num_steps = num_steps
        self.use_prompts = use_prompts
        self.guidance_scale = check_guidance(guidance_scale, use_prompts, sampler)

        if networks_of is None:
            self._build_networks(arch, lora, with_cp)
        else:
            self.autoencoder, self.text_encoder = networks_of.autoencoder, networks_of.text_encoder
            self.unet = networks_of.unet
        COMPLETENESS.attach(self)

    def _build_networks(self, arch, lora, with_cp):
        self.autoencoder = LatentAutoencoder(arch, scale_latents=True, with_decoder=True)
        self.text_encoder = SentenceEncoder(arch, LONGEST, cache_size=CACHED_SENTENCES)
        self.unet = build_unet(arch)
        refuse_reentrant_checkpointing(self.unet)
        if lora is not None:
            add_attention_lora(self.unet, **lora)
        if with_cp:
            enable_checkpointing(self.unet)

    def init_weights(self):
        """Load the pre-trained weights that ``init_cfg`` names."""
        parts = dict(unet=self.unet, vae=self.autoencoder.vae, text_encoder=self.text_encoder.clip)
        source = initialise(self, parts)
        if source and 'text_encoder' in source.files:
            self.text_encoder.note_weights()

    def load_lora(self, path: str | Path):
        """Exchange the adapter for that of a file or folder, see :func:`.load_lora`."""
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
            dict | list | Tensor: The loss; or the data samples with ``pred_target``; or target maps ``(B, 3 or 1, H,
            W)``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        return self.estimate(inputs, self._captions_of(data_samples))

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch, each image at a timestep of its own; see :meth:`forward`."""
        images = self._encode(inputs)  # (B, 4, h, w)
        targets = self._encode(self.codec.encode(targets_of(data_samples, inputs)))
        timesteps = self.process.draw_timesteps(len(images), images.device)
        prompt_embeds = self._embed(self._captions_of(data_samples), len(images))
        prediction = self._denoise(self.process.mix(images, targets, timesteps), timesteps, prompt_embeds)
        expected = self.process.expected(images, targets, timesteps)
        return dict(loss_latents=self.process.loss(prediction, expected, timesteps))

    def predict(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Predict targets, each of the size (``ori_shape``) its image had when loaded; see :meth:`forward`."""
        maps = self.estimate(inputs, self._captions_of(data_samples))
        data_samples = data_samples or [BaseDataElement() for _ in inputs]
        check_number(data_samples, inputs)
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
            num_steps (int, optional): Other than those of the model.

        Returns:
            Tensor: Target maps ``(B, 3 or 1, H, W)``.
        """
        *_, latents = self.trace(images, captions, num_steps)
        return self.decode(latents, images.shape[-2:])

    @torch.no_grad()
    def trace(
        self, images: torch.Tensor, captions: Sequence[str] | None = None, num_steps: int | None = None
    ) -> Iterator[torch.Tensor]:
        """Go from images to targets step by step; the arguments are those of :meth:`estimate`.

        Yields:
            Tensor: Latents ``(B, 4, h, w)`` after each step, for :meth:`decode`.
        """
        latents = self._encode(images)
        prompt_embeds = self._embed(captions, len(images))

        def predict(latents, timestep):
            if self.guidance_scale == 1:
                return self._denoise(latents, timestep, prompt_embeds)
            both = torch.cat([prompt_embeds, self._embed_empty(len(images))])
            told, untold = self._denoise(latents.repeat(2, 1, 1, 1), timestep, both).chunk(2)
            return untold + self.guidance_scale * (told - untold)

        yield from self.process.run(predict, latents, self.num_steps if num_steps is None else num_steps)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Turn latents of targets into target maps ``(B, 3 or 1, H, W)`` of the images' size."""
        height, width = size
        images = self.autoencoder.decode(latents.to(self.unet.dtype))[..., :height, :width]
        return self.codec.decode(images.float())

    def _encode(self, images):
        check_form(images)
        if not images.is_floating_point():
            raise TypeError(f'images: expected floating-point numbers in [-1, 1], got {images.dtype}. {REMEDY}')
        # Latents stay in single precision: the schedule needs it, see DeterministicProcess.mix.
        return self.autoencoder.encode(images.to(self.unet.dtype)).float()

    def _denoise(self, latents, timesteps, prompt_embeds):
        dtype = self.unet.dtype
        return self.unet(latents.to(dtype), timesteps, encoder_hidden_states=prompt_embeds.to(dtype)).sample

    def _captions_of(self, data_samples):
        return captions_of(data_samples) if self.use_prompts else None

    def _embed(self, captions: Sequence[str] | None, batch_size: int) -> torch.Tensor:
        """Hidden states of the captions ``(B, 77, C)``."""
        if not self.use_prompts:
            return self._embed_empty(batch_size)
        return self.text_encoder(clean_captions(captions, batch_size))

    def _embed_empty(self, batch_size: int) -> torch.Tensor:
        return self.text_encoder(['']).expand(batch_size, -1, -1)


def check_guidance(guidance_scale: float, use_prompts: bool, sampler: str) -> float:
    """Return the guidance scale, if there is something to be guided by.

    Raises:
        ValueError: There are no prompts, or a single pass, which is trained without guidance.
    """
    if guidance_scale != 1 and not use_prompts:
        raise ValueError(f'guidance_scale={guidance_scale} needs prompts: set use_prompts=True or guidance_scale=1')
    if guidance_scale != 1 and sampler == 'one_pass':
        raise ValueError(f'guidance_scale={guidance_scale}: a single pass has no guidance; set it to 1')
    return guidance_scale
