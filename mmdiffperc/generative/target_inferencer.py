"""Predict normals, depth and other targets of your own images."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from mmdiffperc.inference.image_files import read_image
from mmdiffperc.inference.single_image import class_name, transforms_for_testing
from mmdiffperc.registry import MODELS
from mmdiffperc.weights.lora import share_weights

from . import DeterministicDiffusion

PRECISIONS = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)
# The shorter side is fitted, so that time and memory grow with the ratio; wide panoramas stay below it.
MAX_ASPECT_RATIO = 8


class TargetInferencer:
    """Predict the targets of images with a trained :class:`.DeterministicDiffusion`.

    An image may have any size, and be up to eight times as long as wide: its shorter side is resized to that of the
    training, and the target back to the size of the image, both bicubically, as in the official code of DMP. The Stable
    Diffusion under an adapter stays where it is while :meth:`load_lora` exchanges the adapter alone, and :meth:`switch`
    with it the kind of target; both while no other thread predicts.

    Args:
        config (str | Path | Config): A config, of which ``model`` is built.
        checkpoint (str | Path, optional): A checkpoint of its training. Default: the Stable Diffusion of ``init_cfg``,
            which then needs ``lora``.
        lora (str | Path, optional): An adapter, see :func:`.load_lora`.
        size (int, optional): Pixels of the shorter side in the model. Default: that of ``Resize`` in the config's test
            pipeline; if it has none, images keep their size.
        precision (str): ``'fp32'``, ``'fp16'`` or ``'bf16'``. Defaults to ``'fp32'``.
        device (str, optional): Default: a GPU, if there is one.
        **options: Arguments of the model that differ from those in the config, such as ``num_steps=3``,
            ``sampler='oracle'``, or ``use_prompts=False, guidance_scale=1`` for an adapter trained without prompts.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: A file is damaged, or the checkpoint of another model.
        ValueError: The config is of another model or cannot work, such as guidance without prompts; neither checkpoint
            nor adapter is given; the adapter is of another base; an unknown precision, or a size that is not positive.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        lora: str | Path | None = None,
        size: int | None = None,
        precision: str = 'fp32',
        device: str | None = None,
        **options,
    ):
        if precision not in PRECISIONS:
            raise ValueError(f'precision={precision!r}: expected one of {", ".join(PRECISIONS)}')
        if size is not None and size < 1:
            raise ValueError(f'size={size}: expected a positive number of pixels')
        config = config if isinstance(config, Config) else Config.fromfile(config)
        self.given_size = size
        self.size = resized_side(config) if size is None else size
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.dtype = PRECISIONS[precision]
        # A checkpoint may have changed any weight.
        self.base = None if checkpoint else base_of(config.model | options)
        self.model = build_model(config.model | options, checkpoint, lora).eval().to(self.device, self.dtype)

    def load_lora(self, path: str | Path):
        """Exchange the adapter; if it does not fit, the one before stays. See :func:`.load_lora`.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: The file is damaged.
            ValueError: It holds no adapter, or that of another base.
        """
        self.model.load_lora(path)
        self.model.to(self.device, self.dtype)

    def switch(self, config: str | Path | Config, lora: str | Path, **options):
        """Predict what another config and adapter are for, on the same Stable Diffusion.

        If they do not fit, nothing is changed. A shallow copy of this inferencer keeps the adapter it has.

        Args:
            config (str | Path | Config): A config whose model has the same ``arch`` and ``init_cfg``; kind of target,
                prompts, process and size may differ.
            lora (str | Path): Its adapter.
            **options: Arguments of the model that differ from those in the config.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: The file is damaged.
            ValueError: It is another Stable Diffusion, or a checkpoint was loaded, which may have changed it; the
                config cannot work; the adapter is of another base.
        """
        config = config if isinstance(config, Config) else Config.fromfile(config)
        if self.base is None or base_of(config.model | options) != self.base:
            raise ValueError(
                f'Expected a config on {self.base or "the weights of its own checkpoint"}, got '
                f'{base_of(config.model | options)}: build another TargetInferencer for it'
            )
        networks = replace(self.model.networks, unet=share_weights(self.model.unet))
        model = MODELS.build(config.model | options | dict(networks=networks))
        model.load_lora(lora)
        self.model = model.eval().to(self.device, self.dtype)
        self.size = resized_side(config) if self.given_size is None else self.given_size

    def __call__(
        self,
        image: str | Path | np.ndarray,
        caption: str | None = None,
        num_steps: int | None = None,
        time_limit: float | None = None,
    ) -> np.ndarray:
        """Predict the target of an image.

        Args:
            image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``cv2.imread`` gives it.
            caption (str, optional): What it shows; needed if the model uses prompts.
            num_steps (int, optional): Other than those of the model.
            time_limit (float, optional): Seconds after which no further step is begun. Default: none.

        Returns:
            np.ndarray: float32, at the image's own size: colours ``(H, W, 3)``, RGB in [0, 1]; or one channel
            ``(H, W)`` in the unit of the training, such as metres.

        Raises:
            OSError: There is no such file.
            TimeoutError: It took longer than ``time_limit``.
            TypeError: The image is neither file nor array.
            ValueError: The file holds no image, or the array is of another shape or type; the image is more than eight
                times as long as wide; a caption is missing; the schedule does not have so many steps; the prediction is
                not finite.
        """
        return self.predict_batch([image], as_batch(caption), num_steps, time_limit)[0]

    def predict_batch(
        self,
        images: Sequence[str | Path | np.ndarray],
        captions: Sequence[str] | None = None,
        num_steps: int | None = None,
        time_limit: float | None = None,
    ) -> list[np.ndarray]:
        """Predict the targets of several images; those of one size in the model go through it together.

        Args:
            images (Sequence[str | Path | np.ndarray]): Each as in :meth:`__call__`, of any sizes.
            captions (Sequence[str], optional): One for each image; needed if the model uses prompts.
            num_steps (int, optional): Other than those of the model.
            time_limit (float, optional): Seconds after which no further step is begun. Default: none.

        Returns:
            list[np.ndarray]: The target of each image, as :meth:`__call__` gives it.

        Raises:
            OSError: There is no such file.
            TimeoutError: It took longer than ``time_limit``.
            TypeError: An image is neither file nor array.
            ValueError: As for :meth:`__call__`, or there are more or fewer captions than images.
        """
        if captions is not None and len(captions) != len(images):
            raise ValueError(f'Expected a caption for each image, {len(images)} in all, got {len(captions)}')
        deadline = math.inf if time_limit is None else time.monotonic() + time_limit
        images = [self.read(image) for image in images]
        inputs = [self._prepare(image) for image in images]
        targets = [None] * len(images)
        for group in same_sizes(inputs):
            told = captions and [captions[index] for index in group]
            group_inputs = torch.cat([inputs[index] for index in group])
            *_, latents = until(deadline, self.model.trace(group_inputs, told, num_steps))
            maps = self._decode(latents, group_inputs)
            for index, target in zip(group, maps, strict=True):
                targets[index] = self._restore(target, images[index])
        return targets

    def trace(
        self, image: str | Path | np.ndarray, caption: str | None = None, num_steps: int | None = None
    ) -> Iterator[np.ndarray]:
        """Predict the target step by step; the arguments are those of :meth:`__call__`.

        Yields:
            np.ndarray: What the latents after each step look like; the last is the prediction.
        """
        image = self.read(image)
        inputs = self._prepare(image)
        for latents in self.model.trace(inputs, as_batch(caption), num_steps):
            yield self._restore(self._decode(latents, inputs)[0], image)

    def read(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Read an image, as :meth:`__call__` does; the result is an image for it, too.

        Returns:
            np.ndarray: ``(H, W, 3)`` in BGR, uint8.

        Raises:
            OSError: There is no such file.
            TypeError: The image is neither file nor array.
            ValueError: The file holds no image, or the array is of another shape or type; the image is more than eight
                times as long as wide.
        """
        pixels = read_image(image)
        if self.size is not None:
            check_aspect_ratio(pixels.shape[:2], 'The image' if image is pixels else image)
        return pixels

    def _prepare(self, image: np.ndarray) -> torch.Tensor:
        """Prepare the inputs ``(1, 3, h, w)`` of the model."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float()
        size = fit_shorter_side(image.shape[:2], self.size)
        if size != image.shape[:2]:
            pixels = F.interpolate(pixels[None], size, mode='bicubic', antialias=True)[0]
        return self.model.data_preprocessor(dict(inputs=[pixels]))['inputs']

    def _decode(self, latents: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Decode the target maps ``(B, C, h, w)``, and check that they are finite."""
        maps = self.model.decode(latents, inputs.shape[-2:])
        if not maps.isfinite().all():
            raise ValueError(
                f'The prediction is NaN or infinite in {self.dtype}: expected finite numbers. Half precision overflows '
                "with some models: use the precision 'bf16' or 'fp32'"
            )
        return maps

    def _restore(self, target: torch.Tensor, image: np.ndarray) -> np.ndarray:
        """Resize a target map ``(C, h, w)`` to the size of the image."""
        size = image.shape[:2]
        if target.shape[1:] != size:
            target = self.model.codec.resize(target, size)
        target = target.permute(1, 2, 0).cpu().numpy()
        return target if self.model.codec.mode == 'RGB' else target[..., 0]


def build_model(config: dict, checkpoint: str | Path | None, lora: str | Path | None) -> DeterministicDiffusion:
    """Build a trained model.

    Raises:
        ValueError: The config is of another model, or there is nothing trained.
    """
    if checkpoint is None and lora is None:
        raise ValueError('Expected a checkpoint or an adapter (lora): without one, nothing is trained')
    name = config.get('type')
    kind = MODELS.get(name) if isinstance(name, str) else name
    if not isinstance(kind, type) or not issubclass(kind, DeterministicDiffusion):
        raise ValueError(f'Expected a config of DeterministicDiffusion, got one of {name}')
    model = MODELS.build(dict(config, init_cfg=None) if checkpoint else config)
    if checkpoint is None:
        model.init_weights()
    else:
        load_checkpoint(model, str(checkpoint), map_location='cpu')
    if lora is not None:
        model.load_lora(lora)
    return model


def base_of(model: dict) -> dict:
    """Return the part of a model's config that decides about the weights under an adapter."""
    return {name: model.get(name) for name in ('arch', 'init_cfg')}


def resized_side(config: Config) -> int | None:
    """Return the shorter side to which the test pipeline of a config resizes, if it does."""
    for transform in transforms_for_testing(config):
        if class_name(transform['type']) == 'Resize' and 'scale' in transform:
            return min(transform['scale'])
    return None


def fit_shorter_side(size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """Height and width with the same ratio and a shorter side of so many pixels."""
    if shorter is None:
        return size
    return tuple(shorter * side // min(size) for side in size)


def until(deadline: float, steps: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Take steps while there is time. A step cannot be interrupted, but the next one need not begin.

    Raises:
        TimeoutError: The deadline, by ``time.monotonic``, has passed.
    """
    for step in steps:
        if time.monotonic() > deadline:
            raise TimeoutError('The prediction took longer than the time limit: use fewer steps, or raise the limit')
        yield step


def check_aspect_ratio(size: tuple[int, int], image: str | Path):
    """Check that the longer side stays of a size that the model can take.

    Args:
        size (tuple[int, int]): Height and width.
        image (str | Path): Its name, for the message.

    Raises:
        ValueError: The image is more than ``MAX_ASPECT_RATIO`` times as long as wide.
    """
    height, width = size
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise ValueError(
            f'{image} has {width} x {height} pixels: expected one side at most {MAX_ASPECT_RATIO} times as long as the '
            'other; cut the image into parts, or pad it'
        )


def same_sizes(inputs: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the indices of inputs, grouped by shape."""
    groups = defaultdict(list)
    for index, tensor in enumerate(inputs):
        groups[tensor.shape].append(index)
    return list(groups.values())


def as_batch(caption: str | None) -> list[str] | None:
    """Return the captions of a single image."""
    return None if caption is None else [caption]
