"""Predict normals, depth and other targets with a model that draws them."""

import argparse
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import load_checkpoint

from mmdiffperc.evaluation.alignment import AlignmentError
from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.inferencer import ImageInferencer, Result, same_sizes
from mmdiffperc.inference.inputs import Frame, ImageInput, ImageSource, find_sources
from mmdiffperc.inference.pipeline import transforms_for_testing
from mmdiffperc.inference.writers import add_text, encode_npz, encode_png
from mmdiffperc.registry import MODELS, class_name
from mmdiffperc.weights.lora import share_weights
from mmdiffperc_cli.options import add_shared, bounded, positive, positive_float

from .captions import MISSING, read_captions
from .data.target_files import ARRAY_NAME, decode_target
from .diffusion_networks import DiffusionNetworks
from .image_captioner import ImageCaptioner
from .measured_depth import MILLIMETRES, MeasuredDepth
from .target_codec import TargetCodec
from .target_generator import TargetGenerator

# The shorter side is resized to a fixed length, so time and memory grow with the ratio. Wide panoramas stay below it.
MAX_ASPECT_RATIO = 8


class TargetInferencer(ImageInferencer):
    """Predict the targets of images with a :class:`.DeterministicDiffusion` or a :class:`.OneStepDiffusion`.

    If the test pipeline resizes images, their shorter side gets the size used in training, and the target is resized to
    the image, both bicubically, as in the official code of DMP. A prediction is a dictionary: ``target`` in float32,
    which is colours ``(H, W, 3)``, RGB in [0, 1], normals ``(H, W, 3)``, or one channel ``(H, W)``; its ``kind``, see
    :attr:`.TargetCodec.kind`; and its ``unit``.

    For each image, ``NAME.npz`` holds this array as ``x``, and its ``kind``, ``unit`` and ``range``. ``NAME.png`` is a
    picture of it: 8 bits for colours and for normals, ``(n + 1) / 2``; 16 bits for one channel, where white is the
    ``target_scale`` of the model if that is a number of metres, 1 for relative maps, and else the largest value. The
    PNG of one channel says kind, unit, range and ``white`` in text entries.

    Inferencers with adapters for the same Stable Diffusion share it in memory, and several threads may use them at the
    same time.

    Options of a call:

    - ``text`` (str | Sequence[str] | Path, optional): Captions: a string for all images, or a list or a text file with
      one for each, in the order of the names. If there are fewer captions than images, they are repeated from the
      first. Default: the captions in the ``metadata.jsonl`` of a folder. Needed if the model uses prompts.
    - ``num_samples`` (int, optional): Predict only this many images, the first ones. Default: all.
    - ``image_latents`` (str | Path, optional): Folder with the latents of each image, the array ``x`` ``(4, h, w)`` in
      ``NAME.npz``. The process starts from them instead of encoding the image, as the official code of DMP does for
      the images that it draws itself. Default: encode the images.
    - ``num_steps`` (int, optional): Number of steps. Default: the model's.
    - ``save_steps`` (bool): Add ``steps`` to a prediction: the targets after each step by their timesteps, each written
      to ``NAME_TIMESTEP.png``. Defaults to False.
    - ``ensemble_size`` (int, optional): Number of predictions to combine, see :class:`.OneStepDiffusion`. Default: the
      model's.
    - ``seed`` (int, optional): Seed of the noise or the sampled latents of each image. Defaults to 0.
    - ``fit_depth`` (str | Path, optional): Folder with measured depth, see :class:`.MeasuredDepth`. Depth and disparity
      become depth in metres. If that fails for an image, because it has too few measurements, its prediction stays
      relative, and a warning names it. Default: none.
    - ``depth_unit`` (float): Unit of integers in these files, in metres. Defaults to 0.001.

    Args:
        model (str | Path | Config): A config. For an adapter trained without prompts, change it by
            ``config.model.update(use_prompts=False, guidance_scale=1)``.
        weights (str | Path): A checkpoint (``.pth``); an adapter for the Stable Diffusion in the model's ``init_cfg``,
            see :func:`.load_lora`; or a whole model: a diffusers folder, or the checkpoint that ``init_cfg`` names.
        device (str, optional): Default: a GPU, if there is one.
        dtype (str): Type of the weights: ``'float32'``, ``'bfloat16'`` or ``'float16'``. Defaults to ``'float32'``.
        show_progress (bool): Whether to show a progress bar. Defaults to True.
        size (int, optional): Length of the shorter side in the model, in pixels. Default: the scale of ``Resize`` in
            the test pipeline; without it, images keep their size.
        caption_model (str | Path, optional): An image-to-text model, which captions the images that have no caption,
            see :class:`.ImageCaptioner`. Default: none.
        processing_res (int, optional): Replaces ``processing_res`` of a :class:`.OneStepDiffusion`, and the ``Resize``
            in the test pipeline.
        tile_size (int, optional): Replaces ``tile_size`` of a :class:`.OneStepDiffusion`.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: A file is damaged, or a checkpoint belongs to another model.
        ValueError: The config belongs to another model or cannot work; there are no weights; an adapter does not fit; a
            ``size`` below 1, or one beside ``processing_res``. In a call: an image is more than eight times as long as
            wide; a caption is missing; there are more captions than images; latents do not have the size of their
            image; the schedule has fewer steps; the model has no such option; the prediction is not finite; measured
            depth does not have the size of its image.
    """

    preprocess_kwargs = {'text', 'num_samples'}
    forward_kwargs = {
        'num_steps',
        'save_steps',
        'image_latents',
        'ensemble_size',
        'seed',
        'fit_depth',
        'depth_unit',
    }
    endings = ('.npz',)

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        dtype: str = 'float32',
        show_progress: bool = True,
        size: int | None = None,
        caption_model: str | Path | None = None,
        processing_res: int | None = None,
        tile_size: int | None = None,
    ):
        if size is not None and size < 1:
            raise ValueError(f'size={size}: expected a positive number of pixels')
        if size is not None and processing_res is not None:
            raise ValueError(f'size={size} and processing_res={processing_res}: expected only one of them')
        self.size = size
        given = dict(processing_res=processing_res, tile_size=tile_size)
        self.settings = {name: value for name, value in given.items() if value is not None}
        super().__init__(model, weights, device, dtype, show_progress)
        self.captioner = ImageCaptioner(caption_model, self.device, dtype) if caption_model else None

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add the options of a call, ``--size`` and ``--caption-model``."""
        add_shared(parser, '--text', 'a caption for all images; default: the captions in metadata.jsonl')
        captions = dict(dest='text', type=Path, metavar='FILE')
        parser.add_argument(
            '--text-file', **captions, help='captions of the images, one per line (repeated if there are too few)'
        )
        model = dict(metavar='MODEL', help='hub id or folder of a model that captions the images without a caption')
        parser.add_argument('--caption-model', **model)
        parser.add_argument('--num-samples', type=positive, metavar='N', help='predict only the first N images')
        add_shared(parser, '--num-steps', "default: the config's")
        parser.add_argument('--save-steps', action='store_true', help='also write a picture after each step')
        latents = dict(type=Path, metavar='FOLDER')
        parser.add_argument('--image-latents', **latents, help='start from the latents NAME.npz of the images')
        add_shared(parser, '--size', 'shorter side in the model; default: as in testing')
        pixels = dict(type=bounded(int, 0), metavar='PIXELS')
        parser.add_argument('--processing-res', **pixels, help='longer side of the resized input; 0 keeps the size')
        parser.add_argument('--tile-size', **pixels, help='predict larger images in tiles of this size; 0 uses none')
        add_shared(parser, '--ensemble-size', "default: the config's")
        add_shared(parser, '--seed', 'of noise and samples; default: 0', default=None)
        depth = dict(type=Path, metavar='FOLDER')
        parser.add_argument('--fit-depth', **depth, help='measured depth to fit to (NAME.npz or NAME.png)')
        parser.add_argument('--depth-unit', type=positive_float, metavar='METRES', help='unit of 16-bit depth PNG')

    @property
    def controls(self) -> tuple[Control, ...]:
        """The caption if the model uses prompts, and the numbers of steps and of predictions if they can vary."""
        controls = []
        if self.model.use_prompts:
            controls.append(Control('text', 'text', 'Caption', 'What the image shows'))
        if 'num_steps' in self.model.adjustable:
            controls.append(Control('num_steps', 'count', 'Steps', default=self.model.num_steps))
        if 'ensemble_size' in self.model.adjustable:
            hint = 'Number of predictions that are combined'
            controls.append(Control('ensemble_size', 'count', 'Ensemble', hint, default=self.model.ensemble_size))
        return tuple(controls)

    def load_lora(self, path: str | Path):
        """Exchange the adapter, see :func:`.load_lora`. If the new one does not fit, the old one stays.

        No other thread may predict at the same time.
        """
        self.model.load_lora(path)
        self.model.to(self.device, self.dtype)

    def stream(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        *arguments,
        text: str | Sequence[str] | Path | None = None,
        num_samples: int | None = None,
        **options,
    ) -> Iterator[Result]:
        """Predict one batch after the other; see :meth:`.ImageInferencer.stream`."""
        sources = find_sources(inputs)
        if text is not None and not isinstance(text, str):
            sources, text = with_captions(sources, text), None
        return super().stream(sources[:num_samples], *arguments, text=text, **options)

    def read(self, image: ImageInput) -> np.ndarray:
        """Read an image ``(H, W, 3)`` in BGR, uint8, and check its aspect ratio."""
        pixels = super().read(image)
        height, width = pixels.shape[:2]
        if self.size is not None and max(height, width) > MAX_ASPECT_RATIO * min(height, width):
            name = image if isinstance(image, (str, Path)) else 'The image'
            raise ValueError(
                f'{name} has {width} x {height} pixels: expected one side at most {MAX_ASPECT_RATIO} times as long as '
                'the other; cut the image into parts, or pad it'
            )
        return pixels

    def predict(
        self,
        frames: Sequence[Frame],
        text: str | None = None,
        num_steps: int | None = None,
        save_steps: bool = False,
        image_latents: str | Path | None = None,
        ensemble_size: int | None = None,
        seed: int | None = None,
        fit_depth: str | Path | None = None,
        depth_unit: float = MILLIMETRES,
    ) -> list[dict]:
        """Predict a batch of images of any sizes; those of one size in the model go through it together."""
        captions = self._captions(frames, text) if self.model.use_prompts else None
        options = self._options(num_steps=num_steps, ensemble_size=ensemble_size, seed=seed)
        inputs = [self.pipeline(frame.pixels) for frame in frames]  # each (1, 3, h, w)
        predictions = [None] * len(frames)
        for group in same_sizes(inputs):
            batch = torch.cat([inputs[index] for index in group])
            if image_latents:
                options['latents'] = self._read_latents(Path(image_latents), [frames[index] for index in group], batch)
            steps = self._steps if save_steps else self._last
            maps = steps(batch, captions and [captions[index] for index in group], **options)
            for place, index in enumerate(group):
                targets = [self._restore(step[place], frames[index].pixels) for step in maps]
                predictions[index] = dict(target=targets[-1], kind=self.model.codec.kind, unit=self.model.codec.unit)
                if save_steps:
                    timesteps = self.model.timesteps(num_steps)
                    predictions[index]['steps'] = dict(zip(timesteps, targets, strict=True))
        if fit_depth is not None:
            measured = MeasuredDepth(Path(fit_depth), depth_unit)
            predictions = list(map(partial(self._fit, measured), predictions, frames))
        return predictions

    def _options(self, **options) -> dict:
        """Return the options that are given; the model can always take a number of steps, if only one."""
        options = {name: value for name, value in options.items() if value is not None}
        for name in options.keys() - {'num_steps', *self.model.adjustable}:
            raise ValueError(
                f'{name}={options[name]}: neither noise nor samples enter this model, so this option has no effect'
            )
        return options

    def _last(self, batch, captions, **options) -> list[torch.Tensor]:
        return [self._checked(self.model.estimate(batch, captions, **options))]

    def _steps(self, batch, captions, ensemble_size: int | None = None, **options) -> list[torch.Tensor]:
        size = ensemble_size or getattr(self.model, 'ensemble_size', 1)
        if size > 1 or getattr(self.model, 'tile_size', 0):
            raise ValueError('save_steps shows the steps of a single prediction: set ensemble_size=1 and tile_size=0')
        steps = list(self.model.trace(batch, captions, **options))
        return [self._checked(self.model.decode(latents, batch.shape[-2:])) for latents in steps]

    def _fit(self, measured: MeasuredDepth, prediction: dict, frame: Frame) -> dict:
        """Convert depth to metres, if the measured depth of the image determines how."""
        stem, name = frame.source.stem, frame.source.name
        if frame.source.is_video:
            stem, name = f'{stem}/{frame.index:06}', f'{name}, frame {frame.index},'
        try:
            fit = measured.fit(prediction['target'], prediction['kind'], stem)
        except AlignmentError as error:
            message = f'{name} stays relative: {error} (fit_depth={measured.folder})'
            print_log(message, logger='current', level=logging.WARNING)
            return prediction
        return prediction | dict(
            target=fit.apply(prediction['target']).astype(np.float32), kind='metric', unit='metres'
        )

    def to_prediction(self, result, frame: Frame) -> dict:
        """Return the result; :meth:`predict` makes predictions itself."""
        return result

    def draw(self, image: np.ndarray, prediction: dict) -> np.ndarray:
        """Return the target as colours, or as grey values."""
        picture = to_picture(prediction['target'], self.model.codec, prediction['kind'])
        return picture if picture.ndim == 3 else np.repeat((picture >> 8).astype(np.uint8)[..., None], 3, axis=2)

    def encode(self, prediction: dict) -> dict[str, bytes]:
        """Encode the target as npz, one channel also as a PNG with 16 bits, and the target after each step as PNG."""
        target, kind, codec = prediction['target'], prediction['kind'], self.model.codec
        about = dict(kind=kind, unit=prediction['unit'])
        encoded = {
            f'_{timestep:03}.png': encode_png(to_picture(step, codec))
            for timestep, step in prediction.get('steps', {}).items()
        }
        if target.ndim == 2:
            limits = f'{target.min():.6g} to {target.max():.6g}'
            text = about | dict(range=limits, white=f'{white_value(target, codec, kind):.6g}')
            encoded['.png'] = add_text(encode_png(to_picture(target, codec, kind)), **text)
        arrays = {ARRAY_NAME: target, 'range': np.array([target.min(), target.max()])}
        return encoded | {'.npz': encode_npz(**arrays, **about)}

    def summarize(self, prediction: dict) -> str:
        """Return the range of the target, and its kind unless it is one of colours."""
        kind = '' if prediction['kind'] == 'colours' else f' ({prediction["kind"]})'
        return f'{prediction["target"].min():.3g} to {prediction["target"].max():.3g}{kind}'

    def _init_model(self, cfg, weights, device='cpu') -> TargetGenerator:
        _check_kind(cfg.model)
        config = dict(cfg.model, **self.settings)
        if weights is None:
            raise ValueError('Expected weights: a checkpoint (.pth), an adapter or a diffusers folder')
        if Path(weights).suffix == '.pth':
            model = MODELS.build(dict(config, init_cfg=None))
            load_checkpoint(model, weights, map_location='cpu')
        elif (Path(weights) / 'unet').is_dir() or weights == (config.get('init_cfg') or {}).get('checkpoint'):
            model = MODELS.build(dict(config, init_cfg=dict(type='Pretrained', checkpoint=weights)))
            model.init_weights()
        else:
            self._base = base_networks(config, device, self.dtype)  # keeps the networks for other inferencers
            networks = replace(self._base, unet=share_weights(self._base.unet))
            model = MODELS.build(dict(config, networks=networks, lora=None, with_cp=False))
            model.load_lora(weights)
        return model.eval().to(device, self.dtype)

    def _init_pipeline(self, cfg) -> Callable[[np.ndarray], torch.Tensor]:
        if self.size is None and 'processing_res' not in self.settings:
            self.size = resized_side(cfg)
        return self._prepare

    def _prepare(self, image: np.ndarray) -> torch.Tensor:
        """Prepare the inputs ``(1, 3, h, w)`` of the model."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float()
        height, width = image.shape[:2]
        if self.size not in (None, min(height, width)):
            size = [self.size * side // min(height, width) for side in (height, width)]
            pixels = F.interpolate(pixels[None], size, mode='bicubic', antialias=True)[0]
        return self.model.data_preprocessor(dict(inputs=[pixels]))['inputs']

    def _captions(self, frames: Sequence[Frame], text: str | None) -> list[str]:
        captions = [frame.source.caption if text is None else text for frame in frames]
        missing = [index for index, caption in enumerate(captions) if caption is None]
        if missing and self.captioner is None:
            name = frames[missing[0]].source.name
            raise ValueError(MISSING.format(f'{name} has none (text, metadata.jsonl in its folder, or caption_model)'))
        if missing:
            found = self.captioner.caption([frames[index].pixels for index in missing])
            for index, caption in zip(missing, found, strict=True):
                captions[index] = caption
        return captions

    def _read_latents(self, folder: Path, frames: Sequence[Frame], inputs: torch.Tensor) -> torch.Tensor:
        """Read the latents ``(B, 4, h, w)`` of images, which enter the model as ``inputs``."""
        files = [folder / f'{frame.source.stem}.npz' for frame in frames]
        latents = [torch.from_numpy(decode_target(file.read_bytes(), str(file))) for file in files]
        shape = self.model.latent_shape(inputs.shape[-2:])
        for file, found in zip(files, latents, strict=True):
            if found.shape != shape:
                raise ValueError(
                    f'{file}: expected latents {tuple(shape)} for an image of {tuple(inputs.shape[-2:])} (height, '
                    f'width) in the model, got {tuple(found.shape)}; set size to the shorter side of the image'
                )
        return torch.stack(latents).to(self.device, torch.float32)

    def _checked(self, maps: torch.Tensor) -> torch.Tensor:
        """Check that target maps ``(B, C, h, w)`` are finite."""
        if not maps.isfinite().all():
            raise ValueError(
                f'The prediction is NaN or infinite in {self.dtype}: expected finite numbers. Half precision overflows '
                "with some models: use dtype='bfloat16' or 'float32'"
            )
        return maps

    def _restore(self, target: torch.Tensor, image: np.ndarray) -> np.ndarray:
        """Resize a target map ``(C, h, w)`` to the size of the image."""
        size = image.shape[:2]
        if target.shape[1:] != size:
            target = self.model.codec.resize(target, size)
        target = target.permute(1, 2, 0).cpu().numpy()
        return target[..., 0] if self.model.codec.mode == 'F' else target


# The networks of each Stable Diffusion in use, without an adapter.
_bases: WeakValueDictionary[str, DiffusionNetworks] = WeakValueDictionary()
_loading = threading.Lock()


def base_networks(config: dict, device: str | torch.device, dtype: torch.dtype) -> DiffusionNetworks:
    """Return the networks of a model, without an adapter; models with the same ``arch`` and ``init_cfg`` share them."""
    inputs = [config.get(name) for name in ('arch', 'init_cfg', 'target_input', 'task_embedding', 'num_tokens')]
    key = str((*inputs, str(device), dtype))
    with _loading:
        networks = _bases.get(key)
        if networks is None:
            model = MODELS.build(dict(config, lora=None))
            model.init_weights()
            networks = _bases[key] = model.eval().to(device, dtype).networks
    return networks


def with_captions(sources: Sequence[ImageSource], text: Sequence[str] | Path) -> list[ImageSource]:
    """Return sources with captions, in this order; too few captions are repeated, as in the official code of DMP.

    Raises:
        ValueError: There are no captions, or more than images.
    """
    name, captions = (text, read_captions(text)) if isinstance(text, Path) else ('text', text)
    if not 0 < len(captions) <= len(sources):
        raise ValueError(
            f'{name}: expected 1 to {len(sources)} captions for {len(sources)} images, got {len(captions)}'
        )
    if len(captions) < len(sources):
        message = f'{name}: repeating {len(captions)} captions for {len(sources)} images'
        print_log(message, logger='current', level=logging.WARNING)
    return [replace(source, caption=caption) for source, caption in zip(sources, cycle(captions), strict=False)]


def _check_kind(config):
    name = config.get('type')
    kind = MODELS.get(name) if isinstance(name, str) else name
    if not isinstance(kind, type) or not issubclass(kind, TargetGenerator):
        raise ValueError(f'Expected a config of DeterministicDiffusion or OneStepDiffusion, got one of {name}')


def resized_side(config: Config) -> int | None:
    """Return the shorter side to which the test pipeline of a config resizes, if it does."""
    for transform in transforms_for_testing(config):
        if class_name(transform['type']) == 'Resize' and 'scale' in transform:
            return min(transform['scale'])
    return None


def white_value(target: np.ndarray, codec: TargetCodec, kind: str) -> float:
    """Return the value of one channel that is white in its picture: a known greatest value, or else the greatest one.

    Args:
        target (np.ndarray): ``(H, W)``.
        codec (TargetCodec): The codec of the model.
        kind (str): The kind of the target, which is metric if it was fitted to measured depth.
    """
    if kind != 'metric':
        return 1.0
    is_scaled = codec.kind == 'metric' and codec.transform is None
    return codec.target_scale if is_scaled else max(float(target.max()), np.finfo(np.float32).tiny)


def to_picture(target: np.ndarray, codec: TargetCodec, kind: str | None = None) -> np.ndarray:
    """Convert a target to a picture, as in the official code of DMP.

    Args:
        target (np.ndarray): Colours in [0, 1] or normals ``(H, W, 3)``, which get 8 bits; or one channel ``(H, W)``,
            which gets 16 bits, see :func:`white_value`.
        codec (TargetCodec): The codec of the model.
        kind (str, optional): The kind of the target. Default: the kind of the codec.
    """
    if target.ndim == 3:
        colours = target / 2 + np.float32(0.5) if codec.mode == 'normals' else target
        return np.round(colours * np.float32(255)).astype(np.uint8)
    white = np.float32(white_value(target, codec, kind or codec.kind))
    return np.round((target / white).clip(0, 1) * np.float32(65535)).astype(np.uint16)
