"""The base of every task's inferencer."""

import argparse
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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

from mmdiffperc.files import write_whole

from .controls import Control
from .image_files import read_image
from .inputs import Frame, ImageInput, Source, find_sources, read_frames
from .single_image import metainfo_for_testing, pipeline_for_testing
from .tolerant_reader import TolerantReader
from .videos import frames_per_second, video_writer
from .writers import encode_png

DTYPES = dict(float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


class Result(NamedTuple):
    """What is predicted of an image.

    Args:
        frame (Frame): The image.
        prediction (dict): As the task's inferencer describes it.
        picture (np.ndarray, optional): ``(H, W, 3)`` in RGB, uint8.
    """

    frame: Frame
    prediction: dict
    picture: np.ndarray | None


class ImageInferencer(BaseInferencer):
    """Predict something about images and videos with a trained model; the base of every task's inferencer.

    It keeps the contract of mmengine's ``BaseInferencer``. A task names the options of a call in ``preprocess_kwargs``
    (those of :meth:`describe`), ``forward_kwargs``, ``visualize_kwargs`` (:meth:`draw`) and ``postprocess_kwargs``
    (:meth:`encode`), names its files by ``endings`` and ``picture_ending``, and implements :meth:`to_prediction`,
    :meth:`draw`, :meth:`encode` and, if the model needs more than the image, :meth:`describe`. One that does more than
    pass a test pipeline and ``test_step`` implements :meth:`predict` instead.

    Args:
        model (str | Path | Config): A config.
        weights (str | Path, optional): A checkpoint of a model trained with it.
        device (str, optional): Default: a GPU, if there is one.
        dtype (str): ``'float32'``, or ``'bfloat16'`` or ``'float16'`` for mixed precision. Defaults to ``'float32'``.
        show_progress (bool): Whether to show a progress bar. Defaults to True.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The checkpoint is damaged or belongs to another model.
        ValueError: The config cannot work; an unknown ``dtype``.
    """

    endings: tuple[str, ...] = ()  # of the files to compute with, after the name of the image
    picture_ending = ''  # of the picture, without its suffix: PNG for an image, MP4 for a video

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
        self.dtype = DTYPES[dtype]
        config = model if isinstance(model, Config) else Config.fromfile(model)
        self.scope = config.get('default_scope', 'mmengine')
        with DefaultScope.overwrite_default_scope(self.scope):
            super().__init__(config, weights and str(weights), device, self.scope, show_progress)

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
        """The meta information, such as classes and palette, in the checkpoint, or else of the config's test data."""
        return self._checkpoint_meta or metainfo_for_testing(self.model.cfg)

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes with which the model was trained."""
        return self.dataset_meta['classes']

    @property
    def controls(self) -> tuple[Control, ...]:
        """The options of a call that the browser page offers; none by default."""
        return ()

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    def __call__(self, inputs: ImageInput | Sequence[ImageInput], **options) -> dict[str, list]:
        """Predict, and keep all predictions.

        Args:
            inputs: See :func:`.find_sources`.
            **options: See :meth:`stream`.

        Returns:
            dict: ``predictions`` and ``visualization``, a list each, with an entry for each image or frame; the second
            is empty without ``return_vis``.

        Raises:
            OSError: There is no such file.
            ValueError: As for :meth:`stream`.
        """
        options.setdefault('return_vis', False)
        results = list(self.stream(inputs, **options))
        visualization = [result.picture for result in results] if options['return_vis'] else []
        return self.postprocess([result.prediction for result in results], visualization)

    def stream(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        show: bool = False,
        return_vis: bool = False,
        skip_existing: bool = False,
        **task_options,
    ) -> Iterator[Result]:
        """Predict one batch after the other, and keep none.

        An image that cannot be read does not stop the others; all of them are reported at the end.

        Args:
            inputs: See :func:`.find_sources`.
            batch_size (int): Number of images that are read at a time; those of one size go through the model
                together. Defaults to 1.
            out_dir (str | Path, optional): Where files are written. Default: nowhere.
            show (bool): Whether to show each picture in a window. Defaults to False.
            return_vis (bool): Whether to yield the pictures. Defaults to False.
            skip_existing (bool): Whether to skip images and videos whose files exist in ``out_dir``. Defaults to False.
            **task_options: Options of the task.

        Yields:
            Result: The prediction of each image or frame.

        Raises:
            OSError: There is no such file, or a file cannot be written.
            ValueError: Two inputs would be written to the same files, or an input would be overwritten; an unknown
                option; images cannot be read, after the others are done.
        """
        before, during, drawing, encoding = self._dispatch_kwargs(**task_options)
        sources = self._remaining(find_sources(inputs), out_dir, skip_existing)
        with_pictures = return_vis or show or out_dir is not None
        with TolerantReader() as reader, self._progress_bar(sources) as bar:
            results = self._results(self._read(sources, reader), batch_size, before | during)
            for source, of_source in groupby(results, key=lambda result: result[0].source):
                with self._output(source, out_dir, encoding) as write:
                    for frame, prediction in of_source:
                        drawn = with_pictures and self.visualize([frame.pixels], [prediction], show=show, **drawing)
                        picture = drawn[0] if with_pictures else None
                        write(frame, prediction, picture)
                        bar.update()
                        yield Result(frame, prediction, picture if return_vis else None)

    def read(self, image: ImageInput) -> np.ndarray:
        """Read an image ``(H, W, 3)`` in BGR, uint8; see :func:`.read_image`."""
        return read_image(image)

    def predict(self, frames: Sequence[Frame], **options) -> list[dict]:
        """Predict a batch of images of any sizes; those of one size in the model go through it together.

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
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model.test_step(inputs)

    def describe(self, frame: Frame, **options) -> dict:
        """Return what the model is given besides the image, by the names that the test pipeline uses."""
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
        """Encode a prediction as the content of files, by their ``endings``."""

    def summarize(self, prediction: dict) -> str:
        """Return a prediction in a few words."""
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

    def _remaining(self, sources: list[Source], out_dir: str | Path | None, skip_existing: bool) -> list[Source]:
        """Return the sources whose files are to be written, which must not be inputs themselves."""
        if out_dir is None:
            return sources
        files = {source: self._files(source, out_dir) for source in sources}
        written = {file.resolve() for paths in files.values() for file in paths}
        for source in sources:
            if isinstance(source.image, (str, Path)) and Path(source.image).resolve() in written:
                raise ValueError(f'{source.name} would be overwritten: choose another output folder')
        if not skip_existing:
            return sources
        remaining = [source for source in sources if not all(file.is_file() for file in files[source])]
        print_log(f'{out_dir}: {len(sources) - len(remaining)} of {len(sources)} inputs are done already', 'current')
        return remaining

    def _files(self, source: Source, out_dir: str | Path) -> list[Path]:
        """Return the files whose presence tells that a source is done."""
        stem = Path(out_dir) / source.stem
        if source.is_video:
            return [Path(f'{stem}{self.picture_ending}.mp4')]
        return [Path(f'{stem}{ending}') for ending in (*self.endings, f'{self.picture_ending}.png')]

    def _read(self, sources: Iterable[Source], reader: TolerantReader) -> Iterator[Frame]:
        for source in sources:
            with reader.attempt():
                yield from read_frames(source, self.read)

    def _progress_bar(self, sources: list[Source]) -> tqdm:
        total = sum(source.num_frames for source in sources) if self.show_progress else 0
        return tqdm(total=total, unit='image', disable=not self.show_progress)

    def _results(self, frames: Iterator[Frame], batch_size: int, options: dict) -> Iterator[tuple[Frame, dict]]:
        while batch := list(islice(frames, batch_size)):
            yield from zip(batch, self.predict(batch, **options), strict=True)

    @contextmanager
    def _output(self, source: Source, out_dir: str | Path | None, options: dict) -> Iterator[Callable]:
        """Open the files of a source; yields what writes a frame, its prediction and its picture."""
        if out_dir is None:
            yield lambda frame, prediction, picture: None
        elif source.is_video:
            stem = Path(out_dir) / source.stem
            with video_writer(f'{stem}{self.picture_ending}.mp4', frames_per_second(source.image)) as append:

                def write(frame, prediction, picture):
                    self._write(stem / f'{frame.index:06}', self.encode(prediction, **options))
                    append(picture)

                yield write
        else:

            def write(frame, prediction, picture):
                picture = {f'{self.picture_ending}.png': encode_png(picture)}
                self._write(Path(out_dir) / source.stem, self.encode(prediction, **options) | picture)

            yield write

    def _write(self, stem: Path, contents: dict[str, bytes]):
        for ending, content in contents.items():
            write_whole(f'{stem}{ending}', content)


def same_sizes(inputs: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the indices of inputs, grouped by shape."""
    groups = defaultdict(list)
    for index, tensor in enumerate(inputs):
        groups[tensor.shape].append(index)
    return list(groups.values())
