"""Your own image, without annotations, through the test pipeline of a model's config."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from .image_files import read_image

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadDepthAnnotation', 'LoadReferringMask')


def test_pipeline(cfg: Config) -> Compose:
    """Build the test pipeline of a config for images that are read already and have no annotations.

    Returns:
        Compose: Takes ``dict(img=...)``, ``(H, W, 3)`` in BGR, uint8, with further entries such as a sentence.

    Raises:
        ValueError: The config has no test pipeline.
    """
    if not (transforms := transforms_for_testing(cfg)):
        raise ValueError('Expected a config with test_dataloader.dataset.pipeline, which prepares images; it has none')
    loader, *others = transforms
    others = [transform for transform in others if class_name(transform['type']) not in ANNOTATION_LOADERS]
    # Another host's model may have been built since.
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return Compose([dict(loader, type='LoadImageFromNDArray'), *others])


def single_image_batch(model: nn.Module, image: str | Path | np.ndarray, **information) -> dict[str, list]:
    """Return the batch of one image that the model's ``test_step`` and ``data_preprocessor`` take.

    Args:
        model (nn.Module): A host's model with its config as ``model.cfg``, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``mmcv.imread`` gives it.

    Raises:
        OSError: There is no such file.
        TypeError: The image is neither.
        ValueError: The array is not such an image, the file holds none, or the config has no test pipeline.
    """
    return pseudo_collate([test_pipeline(model.cfg)(dict(img=read_image(image)) | information)])


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
