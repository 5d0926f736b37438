"""The base of every task's inferencer."""

import argparse
import logging
from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from torch import nn
from tqdm import tqdm

from mmdiffperc.half_precision import autocast_for, halve
from mmdiffperc_cli.options import DTYPES

from .controls import Control
from .image_files import read_image
from .inputs import Frame, ImageInput, ImageSource, find_sources, read_frames
from .outputs import OutputFolder
from .pipeline import metainfo_for_testing, pipeline_for_testing
from .time_limit import TimeLimit
from .tolerant_reader import TolerantReader, UnreadableFilesError


class Result(NamedTuple):
    """The prediction for an image.

    Args:
        frame (Frame): The image.
        prediction (dict): The prediction, as described by the inferencer of the task.
        picture (np.ndarray, optional): ``(H, W, 3)`` in RGB, uint8.
    """

    frame: Frame
    prediction: dict
    picture: np.ndarray | None


class ImageInferencer(BaseInferencer):
    """Run a trained model on images and videos; the base of every task's inferencer.

    It keeps the contract of mmengine's ``BaseInferencer``. The inferencer of a task

    - implements :meth:`to_prediction`, :meth:`draw` and :meth:`encode`, and :meth:`describe` if its model needs more
      than the image;
    - names the options of a call: those of ``describe`` in ``preprocess_kwargs``, of ``draw`` in ``visualize_kwargs``,
      and of ``encode`` in ``postprocess_kwargs``; and adds them to the command line in :meth:`add_options`;
    - names its files in ``endings`` and ``picture_ending``, see :class:`.OutputFolder`;
    - is listed in ``INFERENCERS`` of ``mmdiffperc/inference/builder.py``.

    An inferencer that needs more than the test pipeline and ``test_step`` overrides :meth:`predict`, whose options are
    in ``preprocess_kwargs`` and ``forward_kwargs``.

    Args:
        model (str | Path | Config): A config.
        weights (str | Path, optional): A checkpoint of a model trained with it.
        device (str, optional): The device. Default: a GPU if available, or else the CPU.
        dtype (str): Type of the weights of the diffusion model: ``'float32'``, ``'bfloat16'`` or ``'float16'``, see
            :func:`.halve`. Defaults to ``'float32'``.
        show_progress (bool): Whether to show a progress bar. Defaults to True.

    Raises:
        FileNotFoundError: A file does not exist.
        RuntimeError: The checkpoint is damaged or belongs to another model.
        ValueError: The config is invalid, or ``dtype`` is unknown.
    """

    endings: tuple[str, ...] = ()
    picture_ending = ''

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        dtype: str = 'float32',
        show_progress: bool = True,
    ):
        if dtype not in DTYPES:
            raise ValueError(f'dtype={dtype!r}: expected one of {", ".join(DTYPES)}')
        self.dtype = getattr(torch, dtype)
        config = model if isinstance(model, Config) else Config.fromfile(model)
        self.scope = config.get('default_scope', 'mmengine')
        with DefaultScope.overwrite_default_scope(self.scope):
            super().__init__(config, weights and str(weights), device, self.scope, show_progress)
        if self.dtype != torch.float32:
            halve(self.model, dtype)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add the options of the task to a command line.

        An option whose name is among those of ``__call__`` is passed there, any other to ``__init__``.
        """

    @classmethod
    def call_options(cls) -> set[str]:
        """Return the names of the task's options in ``__call__``."""
        return cls.preprocess_kwargs | cls.forward_kwargs | cls.visualize_kwargs | cls.postprocess_kwargs

    @cached_property
    def dataset_meta(self) -> dict:
        """Classes, palette and other meta information from the checkpoint, or else from the config's test data."""
        return self._checkpoint_meta or metainfo_for_testing(self.model.cfg)

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes with which the model was trained."""
        return self.dataset_meta['classes']

    @property
    def controls(self) -> tuple[Control, ...]:
        """The options of a call that the browser page offers, none by default."""
        return ()

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    def __call__(self, inputs: ImageInput | Sequence[ImageInput], **options) -> dict[str, list | dict]:
        """Predict, and return all predictions at once.

        An image that cannot be read does not stop the others. It is logged as an error, and its prediction is None. If
        no input can be read, the call raises an error.

        Args:
            inputs: See :func:`.find_sources`.
            **options: See :meth:`stream`.

        Returns:
            dict: Two lists with an entry for each image or frame: ``predictions``, and the pictures in
            ``visualization``, which is empty without ``return_vis``. Both contain None for an image that cannot be
            read, and where a damaged video ends. ``errors`` maps the names of these inputs to the reasons.

        Raises:
            OSError: See :meth:`stream`.
            TimeoutError: See :meth:`stream`.
            ValueError: See :meth:`stream`; or no input can be read.
        """
        options.setdefault('return_vis', False)
        sources, results, errors = find_sources(inputs), [], {}
        try:
            results.extend(self.stream(sources, **options))
        except UnreadableFilesError as error:
            if all(source.name in error.reasons for source in sources):
                raise
            print_log(str(error), logger='current', level=logging.ERROR)
            errors = error.reasons
        results = with_failures(results, sources, errors)
        visualization = [result.picture for result in results] if options['return_vis'] else []
        return self.postprocess([result.prediction for result in results], visualization) | dict(errors=errors)

    def stream(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        show: bool = False,
        return_vis: bool = False,
        skip_existing: bool = False,
        time_limit: float | None = None,
        **task_options,
    ) -> Iterator[Result]:
        """Predict one batch after the other, and yield each prediction.

        An image that cannot be read does not stop the others. All such images are reported at the end.

        Args:
            inputs: See :func:`.find_sources`.
            batch_size (int): Number of images that are read at a time. Those of the same size go through the model
                together. Defaults to 1.
            out_dir (str | Path, optional): The folder to write. Default: none.
            show (bool): Whether to show each picture in a window. Defaults to False.
            return_vis (bool): Whether to draw pictures even if they are neither written nor shown. Defaults to False.
            skip_existing (bool): Whether to skip images and videos whose files exist in ``out_dir``. Defaults to False.
            time_limit (float, optional): Largest number of seconds for each batch. Default: no limit.
            **task_options: Options of the task.

        Yields:
            Result: The prediction of each image or frame.

        Raises:
            OSError: An input does not exist, or a file cannot be written.
            TimeoutError: A batch exceeded ``time_limit``.
            ValueError: Two inputs would be written to the same files; an input would be overwritten; an option is
                unknown.
            UnreadableFilesError: After all others are done: some images cannot be read.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}: expected a positive number of images')
        before, during, drawing, encoding = self._dispatch_kwargs(**task_options)
        sources = find_sources(inputs)
        folder = out_dir and OutputFolder(Path(out_dir), self.endings, self.picture_ending)
        if folder:
            folder.check(sources)
        if folder and skip_existing:
            found, sources = sources, [source for source in sources if not folder.is_done(source)]
            print_log(f'{out_dir}: skipping {len(found) - len(sources)} of {len(found)} inputs', logger='current')
        with TolerantReader() as reader, self._progress_bar(sources) as bar:
            results = self._results(self._read(sources, reader), batch_size, time_limit, before | during)
            for source, of_source in groupby(results, key=lambda result: result[0].source):
                with folder.open(source) if folder else nullcontext() as write:
                    for frame, prediction in of_source:
                        picture = None
                        if folder or show or return_vis:
                            (picture,) = self.visualize([frame.pixels], [prediction], show=show, **drawing)
                        if write:
                            write(frame.index, self.encode(prediction, **encoding), picture)
                        bar.update()
                        yield Result(frame, prediction, picture)

    def read(self, image: ImageInput) -> np.ndarray:
        """Read an image ``(H, W, 3)`` in BGR, uint8; see :func:`.read_image`."""
        return read_image(image)

    def predict(self, frames: Sequence[Frame], **options) -> list[dict]:
        """Predict a batch of images. Those of the same size in the model go through it together.

        Args:
            frames (Sequence[Frame]): The images.
            **options: Those of ``preprocess_kwargs`` and ``forward_kwargs``.

        Returns:
            list[dict]: The predictions, in the order of the images.
        """
        predictions = [None] * len(frames)
        samples = [self.pipeline(dict(img=frame.pixels) | self.describe(frame, **options)) for frame in frames]
        for group in same_sizes([sample['inputs'] for sample in samples]):
            results = self.forward(self.collate_fn([samples[index] for index in group]))
            for index, result in zip(group, results, strict=True):
                predictions[index] = self.to_prediction(result, frames[index])
        return predictions

    @torch.no_grad()
    def forward(self, inputs: dict) -> list:
        """Return the model's results for a collated batch."""
        with autocast_for(self.device, self.dtype):
            return self.model.test_step(inputs)

    def describe(self, frame: Frame, **options) -> dict:
        """Return what the model needs besides the image, under the names that the test pipeline uses."""
        return {}

    @abstractmethod
    def to_prediction(self, result, frame: Frame) -> dict:
        """Convert a result of the model to plain arrays and numbers."""

    @abstractmethod
    def draw(self, image: np.ndarray, prediction: dict, **options) -> np.ndarray:
        """Draw a prediction.

        Args:
            image (np.ndarray): ``(H, W, 3)`` in BGR, uint8.
            prediction (dict): As :meth:`to_prediction` returns it.
            **options: Those of ``visualize_kwargs``.

        Returns:
            np.ndarray: ``(H, W, 3)`` in RGB, uint8.
        """

    @abstractmethod
    def encode(self, prediction: dict, **options) -> dict[str, bytes]:
        """Return the content of the files of a prediction by their endings."""

    def summarize(self, prediction: dict) -> str:
        """Describe a prediction in a few words."""
        return ''

    def visualize(
        self, inputs: Sequence[np.ndarray], preds: Sequence[dict], show: bool = False, **options
    ) -> list[np.ndarray]:
        """Draw predictions, and show each of them in a window if ``show`` is true; see :meth:`draw`."""
        pictures = [self.draw(image, prediction, **options) for image, prediction in zip(inputs, preds, strict=True)]
        for picture in pictures if show else ():
            self.visualizer.show(picture)
        return pictures

    def postprocess(
        self, preds: list[dict], visualization: list[np.ndarray], return_datasample: bool = False
    ) -> dict[str, list]:
        """Pack predictions and pictures."""
        return dict(predictions=preds, visualization=visualization)

    def _init_pipeline(self, cfg: Config) -> Callable[[dict], dict]:
        return pipeline_for_testing(cfg)

    def _init_collate(self, cfg: Config) -> Callable[[list], dict]:
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> Visualizer:
        return Visualizer()

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None, cfg: Config):
        super()._load_weights_to_model(model, checkpoint, cfg)
        self._checkpoint_meta = (checkpoint or {}).get('meta', {}).get('dataset_meta')

    def _read(self, sources: Iterable[ImageSource], reader: TolerantReader) -> Iterator[Frame]:
        for source in sources:
            with reader.attempt(source.name):
                yield from read_frames(source, self.read)

    def _progress_bar(self, sources: list[ImageSource]) -> tqdm:
        total = sum(source.num_frames for source in sources) if self.show_progress else 0
        return tqdm(total=total, unit='image', disable=not self.show_progress)

    def _results(
        self, frames: Iterator[Frame], batch_size: int, time_limit: float | None, options: dict
    ) -> Iterator[tuple[Frame, dict]]:
        while batch := list(islice(frames, batch_size)):
            with TimeLimit(time_limit) if time_limit is not None else nullcontext():
                predictions = self.predict(batch, **options)
            yield from zip(batch, predictions, strict=True)


def with_failures(results: Iterable[Result], sources: Sequence[ImageSource], errors: Container[str]) -> list[Result]:
    """Add an empty result for each source whose name is among the errors, in the order of the sources."""
    left, complete = deque(results), []
    for source in sources:
        while left and left[0].frame.source.name == source.name:
            complete.append(left.popleft())
        if source.name in errors:
            complete.append(Result(None, None, None))
    return complete


def same_sizes(inputs: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the indices of inputs, grouped by shape."""
    groups = defaultdict(list)
    for index, tensor in enumerate(inputs):
        groups[tensor.shape].append(index)
    return list(groups.values())
