"""Your own image, without annotations, through the test pipeline of a model's config."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from mmdiffperc.files import brief

from .image_limits import check_pixels

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadDepthAnnotation', 'LoadReferringMask')


def single_image_batch(model: nn.Module, image: str | Path | np.ndarray, **information) -> dict[str, list]:
    """Return the batch of one image that the model's ``test_step`` and ``data_preprocessor`` take.

    Args:
        model (nn.Module): A host's model with its config as ``model.cfg``, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``mmcv.imread`` gives it.
        **information: Further entries of the sample for the pipeline, such as a sentence.

    Raises:
        TypeError: The image is neither.
        ValueError: The array is not such an image, the file has too many pixels, or the config has no test pipeline.
    """
    check_image(image)
    if not isinstance(image, np.ndarray) and Path(image).is_file():
        check_pixels(image, str(image))
    loader, *transforms = _test_pipeline(model.cfg)
    transforms = [transform for transform in transforms if class_name(transform['type']) not in ANNOTATION_LOADERS]
    if isinstance(image, np.ndarray):
        loader, data = dict(loader, type='LoadImageFromNDArray'), dict(img=image)
    else:
        data = dict(img_path=str(image))
    # Another host's model may have been built since.
    with DefaultScope.overwrite_default_scope(model.cfg.default_scope):
        pipeline = Compose([loader, *transforms])
    return pseudo_collate([pipeline(data | information)])


def _test_pipeline(cfg):
    if pipeline := transforms_for_testing(cfg):
        return pipeline
    raise ValueError('Expected a config with test_dataloader.dataset.pipeline, which prepares images; it has none')


def transforms_for_testing(cfg: Config) -> list[dict]:
    """Return the transforms of the test data, also where one data set wraps another, such as ``RepeatDataset``.

    Of several data sets (``ConcatDataset``) or data loaders (a list of them) the first one counts.
    """
    loader = cfg.get('test_dataloader') or {}
    loader = next(iter(loader), {}) if isinstance(loader, (list, tuple)) else loader
    return _pipeline_of(loader.get('dataset') or {})


def _pipeline_of(dataset):
    wrapped = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), {})
    return [*(_pipeline_of(wrapped) if wrapped else ()), *(dataset.get('pipeline') or ())]


def class_name(kind: str | type) -> str:
    """Return the name of the class that a type in a config stands for: with a scope, an import path, or the class."""
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def check_image(image: str | Path | np.ndarray):
    """Check that an image is a file's name or an array that a host's pipeline understands.

    Raises:
        TypeError: It is neither.
        IsADirectoryError: It is a folder.
        ValueError: It is an array of another shape or type.
    """
    if not isinstance(image, (str, Path, np.ndarray)):
        raise TypeError(f'Expected an image file or an array (H, W, 3), got {type(image).__name__} {brief(image)}')
    if not isinstance(image, np.ndarray) and Path(image).is_dir():
        raise IsADirectoryError(f'{image} is a folder; expected an image file')
    if isinstance(image, np.ndarray) and not (
        image.ndim == 3 and image.shape[2] == 3 and image.size and image.dtype == np.uint8
    ):
        raise ValueError(
            f'Expected an image (H, W, 3) in BGR, of uint8, got an array {image.shape} of {image.dtype}: convert it '
            'first, or give the name of an image file'
        )
