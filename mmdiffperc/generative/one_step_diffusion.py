"""Dense prediction by a diffusion model in a single pass, trained end to end."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from pydantic import InstanceOf

from mmdiffperc.models.config_checks import Arch, AttentionLora, GeneratorInitCfg, Schedule, TaskEmbedding, Timestep
from mmdiffperc.models.layers.sentence_encoder import LONGEST
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import (
    Component,
    Expected,
    Listed,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    validated,
)
from mmdiffperc.weights.extended_inputs import plain_inputs
from mmdiffperc.weights.noise_schedule import load_schedule

from .deterministic_process import PredictionType, Steps
from .diffusion_networks import DiffusionNetworks, share_or_build
from .ensembles import combine
from .losses import LatentLoss, TargetLoss, align, pool_valid, skipped_images
from .normal_axes import INSIDE, Axes
from .one_step_process import OneStepProcess, TargetInput
from .processing_size import processed_size, to_processed
from .published import check_modality
from .target_codec import CHANNELS, TargetCodec, TargetMode, TargetScale, TargetTransform, targets_of
from .target_generator import TargetGenerator
from .tiles import predict_in_tiles

IMAGE_TASK = (0.0, 1.0)  # Lotus reconstructs the image when it is given this task
PIXEL_REGRESSION = dict(
    arch='sd1-4',
    target_mode='RGB',
    losses=[dict(type='ImageLoss', norm='l2', loss_name='loss_pixels')],
    timestep=1,
    prediction_type='sample',
    use_prompts=True,
    lora=dict(r=4),
)
Losses = Annotated[Listed[Component], Expected("a list such as [dict(type='AngularLoss')]")]


@MODELS.register_module()
@validated
class OneStepDiffusion(TargetGenerator):
    """A text-to-image model that predicts depth, normals or another target of an image in one pass.

    Losses are computed on the clean latents of the target, or on the image that the decoder makes of them, see
    :class:`.OneStepProcess`; the other parts are described in :class:`.TargetGenerator`. Published forms:

    - `E2E-FT <https://arxiv.org/abs/2409.11355>`_: ``target_input='zeros'``, ``prediction_type='v_prediction'``,
      ``halve_bias=True``, and a loss on the decoded map.
    - `GenPercept <https://arxiv.org/abs/2403.06090>`_: ``timestep=1`` and the image's latents alone.
    - Lotus-D (`Lotus <https://arxiv.org/abs/2409.18124>`_): ``prediction_type='sample'``, ``task_embedding=(1, 0)``,
      ``reconstruction_weight=1``, ``sample_latents=True``, and ``losses=[dict(type='LatentLoss')]``.
    - `Marigold <https://arxiv.org/abs/2312.02145>`_, for prediction: ``target_input='noise'`` and several steps.

    For folders of published models, :func:`.published_settings` returns the arguments.

    ``arch`` builds, ``init_cfg`` loads; a checkpoint holds everything that testing needs. A U-Net of Stable Diffusion
    gets the additional inputs while it is loaded, see :func:`.plain_inputs`.

    Args:
        arch (str): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'tiny-sd'``, or a diffusers folder. Defaults to
            ``'sd2-1'``.
        target_mode (str): ``'RGB'``, ``'F'`` or ``'normals'``, see :class:`.TargetCodec`. Defaults to ``'F'``.
        target_scale (float | str): See :class:`.TargetCodec`. Defaults to 1.
        target_transform (str, optional): See :class:`.TargetCodec`.
        target_axes (str): Axes of the normals that the decoder draws, see :class:`.TargetCodec`. Defaults to ``'RUB'``.
        full_z_range (bool): See :class:`.TargetCodec`. Defaults to True.
        losses (Sequence[dict]): Losses that are added, see :class:`.TargetLoss`.
        target_input (str, optional): What the U-Net sees beside the latents of the image: ``'zeros'`` or ``'noise'`` in
            place of the target's latents. Default: nothing.
        sample_latents (bool): Encode images to samples instead of modes. In prediction, samples are the same each time.
            Defaults to False.
        timestep (int, optional): Timestep of the pass. Default: where the schedule's only step is.
        prediction_type (str): ``'v_prediction'``, ``'epsilon'`` or ``'sample'``. Defaults to ``'v_prediction'``.
        num_steps (int): Steps in prediction; more than one needs ``target_input``. Defaults to 1.
        scheduler (dict, optional): Arguments of ``diffusers.DDIMScheduler`` that replace values of the schedule of
            ``arch``. The spacing is trailing unless the schedule's file or this argument names another.
        ensemble_size (int): Number of predictions of an image that differ in their noise or latent sample and are
            combined, see :func:`.combine`. Defaults to 1.
        processing_res (int): Length to which the longer side of an image is resized for prediction, bilinearly; the
            prediction is resized back. 0 keeps the size of the image. Defaults to 0.
        tile_size (int): Predict images whose longer side exceeds this number of pixels in square tiles, at full size.
            Relative maps of tiles are first aligned with a prediction of the whole image, whose longer side is then
            ``processing_res`` or ``tile_size``. Defaults to 0, no tiles.
        tile_overlap (int): Smallest overlap of neighbouring tiles in pixels. Defaults to 128.
        last_latents (str): What the last step returns, see :class:`.OneStepProcess`. Defaults to ``'clean'``.
        use_prompts (bool): Condition the U-Net on each image's caption rather than on an empty one. Defaults to False.
        num_tokens (int): Length of the empty prompt: 77, or 2 as in diffusers' Marigold. Defaults to 77.
        task_embedding (Sequence[float], optional): Two numbers for the task. Their sines and cosines are embedded, as
            in Lotus.
        reconstruction_weight (float): Weight of a second loss in training: with the task (0, 1), the U-Net should
            return the latents of the image. 0 switches it off. Defaults to 0.
        halve_bias (bool): See :func:`.plain_inputs`. Defaults to False.
        lora (dict, optional): Train an adapter instead of the U-Net: ``attention='all'`` (default) or ``'self'``, rank
            ``r``, and any other argument of ``peft.LoraConfig``.
        train_decoder (bool): Train the autoencoder's decoder too. Defaults to False.
        with_cp (bool): Save memory in training by gradient checkpointing. Defaults to False.
        data_preprocessor (dict, optional): Default: images are BGR, 0 to 255.
        init_cfg (dict, optional): See :class:`.DeterministicDiffusion`.
        networks (DiffusionNetworks, optional): Networks to share with another model of the same ``arch``, adapter
            included; requires ``lora=None`` and no ``with_cp``. Default: new ones.

    Raises:
        ValueError: Several steps without ``target_input``; an ensemble of equal predictions; a tile that is not larger
            than the overlap; a reconstruction without a task embedding; ``epsilon`` at a timestep without signal; a
            trained decoder with losses on latents only; two losses of one name, or a loss for targets of another kind;
            a short prompt with captions; a U-Net with other inputs; ``networks`` with ``lora`` or ``with_cp``.
    """

    def __init__(
        self,
        arch: Arch = 'sd2-1',
        target_mode: TargetMode = 'F',
        target_scale: TargetScale = 1.0,
        target_transform: TargetTransform | None = None,
        target_axes: Axes = INSIDE,
        full_z_range: bool = True,
        losses: Losses = (dict(type='ImageLoss'),),
        target_input: TargetInput | None = None,
        sample_latents: bool = False,
        timestep: Timestep | None = None,
        prediction_type: PredictionType = 'v_prediction',
        num_steps: Steps = 1,
        ensemble_size: PositiveInt = 1,
        processing_res: NonNegativeInt = 0,
        tile_size: NonNegativeInt = 0,
        tile_overlap: NonNegativeInt = 128,
        scheduler: Schedule | None = None,
        last_latents: Literal['clean', 'previous'] = 'clean',
        use_prompts: bool = False,
        num_tokens: Literal[2, 77] = LONGEST,
        task_embedding: TaskEmbedding | None = None,
        reconstruction_weight: NonNegativeFloat = 0.0,
        halve_bias: bool = False,
        lora: AttentionLora | None = None,
        train_decoder: bool = False,
        with_cp: bool = False,
        data_preprocessor: Component | torch.nn.Module | None = None,
        init_cfg: GeneratorInitCfg | None = None,
        networks: InstanceOf[DiffusionNetworks] | None = None,
    ):
        schedule = load_schedule(arch, default=dict(timestep_spacing='trailing'), **scheduler or {})
        process = OneStepProcess(schedule, prediction_type, target_input, timestep, last_latents)
        process.timesteps(num_steps)  # raises ValueError if it cannot take as many
        if reconstruction_weight and task_embedding is None:
            raise ValueError(
                f'reconstruction_weight={reconstruction_weight} needs task_embedding, such as (1, 0), which tells the '
                'U-Net whether to predict the target or the image'
            )
        if use_prompts and num_tokens != LONGEST:
            raise ValueError(f'num_tokens={num_tokens} is for an empty prompt: set {LONGEST}, or use_prompts=False')
        inputs = dict(
            target_input=target_input is not None, task_input=task_embedding is not None, num_tokens=num_tokens
        )
        super().__init__(
            networks=share_or_build(networks, arch, lora, with_cp, **inputs),
            codec=TargetCodec(target_mode, target_scale, target_transform, target_axes, full_z_range),
            use_prompts=use_prompts,
            num_steps=num_steps,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.process = process
        self.sample_latents = sample_latents
        self.task_embedding = task_embedding
        self.halve_bias = halve_bias
        self._check_ensemble(ensemble_size)
        self.ensemble_size = ensemble_size
        self.processing_res = processing_res
        if tile_size and tile_overlap >= tile_size:
            raise ValueError(f'tile_overlap={tile_overlap}: expected less than tile_size={tile_size}')
        self.tile_size = tile_size
        self.tile_overlap = tile_overlap
        self.losses = torch.nn.ModuleList(map(MODELS.build, losses))
        _check_losses(self.losses, self.codec.mode)
        self.reconstruction = (
            LatentLoss(reconstruction_weight, 'loss_reconstruction') if reconstruction_weight else None
        )
        if train_decoder:
            self._unfreeze_decoder()

    def _unfreeze_decoder(self):
        if all(loss.space == 'latents' for loss in self.losses):
            raise ValueError('train_decoder=True needs a loss on images or maps; all of losses are on latents')
        vae = self.autoencoder.vae
        for part in filter(None, (vae.decoder, getattr(vae, 'post_quant_conv', None))):
            part.requires_grad_(True)

    def init_weights(self):
        """Load the pre-trained weights that ``init_cfg`` names, see :func:`.plain_inputs`.

        Raises:
            ValueError: See :func:`.load_weights`; or they belong to a model of another modality.
        """
        super().init_weights(self._fill_unet)

    def _fill_unet(self, source):
        if 'unet' in source.files:
            check_modality(source.files['unet'][0], self.codec.mode)
        return plain_inputs(self.unet, source, halve_bias=self.halve_bias)

    @property
    def adjustable(self) -> tuple[str, ...]:
        """Ensemble and seed, if noise or samples enter, and steps, if it is noise; see :class:`.TargetGenerator`."""
        if self.process.target_input == 'noise':
            return 'num_steps', 'ensemble_size', 'seed'
        return ('ensemble_size', 'seed') if self.sample_latents else ()

    def timesteps(self, num_steps: int | None = None) -> list[int]:
        """Return the timesteps from an image to its target, see :meth:`.OneStepProcess.timesteps`."""
        return self.process.timesteps(self.num_steps if num_steps is None else num_steps)

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch; see :meth:`.TargetGenerator.forward`.

        Invalid pixels do not enter them, see :func:`.targets_of`. ``skipped_images`` is the number of images without a
        valid pixel, or without a valid latent if all losses compare latents.
        """
        targets, valid = targets_of(data_samples, inputs)  # (B, C, H, W), (B, 1, H, W)
        target_images = self.codec.encode(targets, valid)  # (B, 3, H, W)
        padded = to_processed(inputs, 0, self.autoencoder.stride)  # as in prediction
        images = self.networks.encode(padded, self.sample_latents)  # (B, 4, h, w)
        prompt_embeds = self._embed(self._captions_of(data_samples), len(images))
        latents = self._predict_clean(images, prompt_embeds, self.task_embedding)

        valid_latents = pool_valid(valid, self.autoencoder.stride)  # (B, 1, h, w)
        compared, spaces = {}, {loss.space for loss in self.losses}
        if 'latents' in spaces:
            target_latents = self.networks.encode(target_images, self.sample_latents)
            compared['latents'] = latents, target_latents, valid_latents
        if spaces - {'latents'}:
            decoded = self.networks.decode(latents, target_images.shape[-2:])
            compared['images'] = decoded, target_images, valid
            compared['maps'] = self.codec.to_maps(decoded), self.codec.to_maps(target_images), valid
        losses = {loss.loss_name: loss(*compared[loss.space]) for loss in self.losses}
        if self.reconstruction is not None:
            again = self._predict_clean(images, prompt_embeds, IMAGE_TASK)
            losses[self.reconstruction.loss_name] = self.reconstruction(again, images, torch.ones_like(valid_latents))
        return losses | dict(skipped_images=skipped_images(valid_latents if spaces == {'latents'} else valid))

    def _predict_clean(self, images, prompt_embeds, task):
        """Return the clean latents ``(B, 4, h, w)`` of the target after a single pass."""
        targets = self.process.start(images)
        prediction = self._denoise(self.process.inputs(images, targets), self.process.timestep, prompt_embeds, task)
        return self.process.clean(prediction, targets)

    def _denoise(self, latents, timestep, prompt_embeds, task):
        task = None if task is None else embed_task(task, latents)
        return self.networks.denoise(latents, timestep, prompt_embeds, task)

    def trace(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | torch.Tensor | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
        seed: int = 0,
    ) -> Iterator[torch.Tensor]:
        """Go from images to targets step by step, see :meth:`.TargetGenerator.trace`.

        Args:
            images (Tensor): ``(B, 3, H, W)``.
            captions (Sequence[str], optional): One for each image.
            num_steps (int, optional): Number of steps.
            latents (Tensor, optional): Latents of the images as they are processed, see :meth:`latent_shape`.
            seed (int): Seed of noise and samples, which do not depend on the other images. Defaults to 0.

        Yields:
            Tensor: Latents ``(B, 4, h, w)`` after each step.
        """
        images = to_processed(images, self.processing_res, self.autoencoder.stride)
        yield from self._trace(images, captions, num_steps, latents, _generators(seed, len(images)))

    def estimate(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | torch.Tensor | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
        ensemble_size: int | None = None,
        seed: int = 0,
    ) -> torch.Tensor:
        """Estimate the targets of images, see :meth:`.TargetGenerator.estimate`.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1], of any size.
            captions (Sequence[str], optional): One for each image; needed with ``use_prompts``.
            num_steps (int, optional): Number of steps. Default: the model's.
            latents (Tensor, optional): Latents of the images as they are processed, see :meth:`latent_shape`.
            ensemble_size (int, optional): Number of predictions to combine. Default: the model's.
            seed (int): Seed of noise and samples. Defaults to 0.

        Returns:
            Tensor: Target maps ``(B, 3 or 1, H, W)``.

        Raises:
            ValueError: The schedule has fewer steps, or the predictions of an ensemble would be equal.
        """
        ensemble_size = self.ensemble_size if ensemble_size is None else ensemble_size
        self._check_ensemble(ensemble_size)
        predict = partial(
            self._estimate, captions=captions, num_steps=num_steps, ensemble_size=ensemble_size, seed=seed
        )
        if latents is None and 0 < self.tile_size < max(images.shape[-2:]):
            return self._estimate_in_tiles(predict, images)
        return predict(images, latents=latents, processing_res=self.processing_res)

    def _estimate_in_tiles(self, predict, images):
        whole = None
        if self.codec.is_relative:
            whole = predict(images, processing_res=self.processing_res or self.tile_size)

        def predict_tile(tile, place):
            maps = predict(tile, processing_res=0)
            if whole is None:
                return maps
            everywhere = torch.ones_like(maps, dtype=torch.bool)
            return align(maps, whole[..., *place], everywhere, 'least_squares')[0]

        return self.codec.clip(predict_in_tiles(images, predict_tile, self.tile_size, self.tile_overlap))

    def _estimate(self, images, captions, num_steps, ensemble_size, seed, processing_res, latents=None):
        size = images.shape[-2:]
        images = to_processed(images, processing_res, self.autoencoder.stride)
        generators = _generators(seed, len(images))
        if latents is None and not self.sample_latents:
            latents = self.networks.encode(images)  # once for all members of the ensemble
        members = []
        for _ in range(ensemble_size):
            *_, last = self._trace(images, captions, num_steps, latents, generators)
            members.append(super().decode(last, processed_size(size, processing_res)))
        maps = torch.stack([combine(predictions, self.codec) for predictions in torch.stack(members, dim=1)])
        return self._restore(maps, size)

    @torch.no_grad()
    def _trace(self, images, captions, num_steps, latents, generators):
        """Go from images of the processed size to targets; each image has its random generator."""
        if latents is None:
            latents = self.networks.encode(images, self.sample_latents, generators)
        predict = partial(self._denoise, prompt_embeds=self._embed(captions, len(images)), task=self.task_embedding)
        targets = self.process.start(latents, generators)
        yield from self.process.run(predict, latents, targets, self.num_steps if num_steps is None else num_steps)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Decode latents to target maps in the size of the images, see :meth:`.TargetGenerator.decode`."""
        return self._restore(super().decode(latents, processed_size(size, self.processing_res)), size)

    def _restore(self, maps, size):
        """Resize maps to the size of the images, as diffusers' pipelines do."""
        if maps.shape[-2:] == size:
            return maps
        return self.codec.clip(F.interpolate(maps, size, mode='bilinear'))

    def latent_shape(self, size: tuple[int, int]) -> torch.Size:
        """Return the shape ``(4, h, w)`` of the latents of an image of a height and width, in the processed size."""
        return super().latent_shape(processed_size(size, self.processing_res))

    def _check_ensemble(self, ensemble_size):
        if ensemble_size < 1:
            raise ValueError(f'ensemble_size={ensemble_size}: expected a positive number')
        if ensemble_size > 1 and self.process.target_input != 'noise' and not self.sample_latents:
            raise ValueError(
                f'ensemble_size={ensemble_size}: all predictions of an image would be equal, because neither noise '
                "(target_input='noise') nor a sample of its latents (sample_latents=True) enters them. Set 1"
            )


def embed_task(task: Sequence[float], latents: torch.Tensor) -> torch.Tensor:
    """Return the sines and cosines of two numbers ``(B, 4)`` for latents ``(B, C, h, w)``."""
    numbers = torch.stack([latents.new_full((), number) for number in task])  # not a copy from the host
    return torch.cat([numbers.sin(), numbers.cos()]).expand(latents.shape[0], -1)


def _generators(seed: int, number: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for _ in range(number)]


def _check_losses(losses: Iterable[TargetLoss], target_mode: str):
    names = [loss.loss_name for loss in losses]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'losses: {len(repeated)} of them are named {repeated[0]!r}; give each another loss_name')
    for loss in losses:
        if loss.channels not in (None, CHANNELS[target_mode]):
            raise ValueError(
                f'losses: {type(loss).__name__} is for maps with channels={loss.channels}, but those of target_mode='
                f'{target_mode!r} have {CHANNELS[target_mode]}; choose another loss, or method=None for '
                'GradientMatchingLoss'
            )


@MODELS.register_module()
@validated
class PixelRegression(OneStepDiffusion):
    """:class:`OneStepDiffusion` as plain regression, the baseline of DMP: a squared error of pixels at timestep 1.

    Args:
        **kwargs: Arguments of :class:`OneStepDiffusion` that replace the values of ``PIXEL_REGRESSION``.
    """

    def __init__(self, **kwargs):
        super().__init__(**dict(PIXEL_REGRESSION, **kwargs))
