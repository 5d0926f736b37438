"""Predictions for one's own image."""

from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.models import DepthEstimator
from torch import nn

from .refer_metric import REFERRED
from .referring_segmentor import ReferringSegmentor

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadDepthAnnotation', 'LoadReferringMask')
UNKNOWN_SCENE = -1


@torch.no_grad()
def predict_depth(model: nn.Module, image: str | Path | np.ndarray, scene: str | None = None) -> np.ndarray:
    """Predict the depth of an image.

    The image goes through the test pipeline of the model's config and is tested in the config's mode. (mmseg's
    ``inference_model`` would ask for the true depth of the image, and cannot be told the scene.)

    Args:
        model (nn.Module): A depth estimator with its config, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR as ``mmcv.imread`` gives it.
        scene (str, optional): One of the scene classes with which the model was trained, such as ``'kitchen'``.
            Default: unknown, for which the mean prompt of all stands.

    Returns:
        np.ndarray: Depth ``(H, W)`` in metres, float32, at the image's own size, or that of its crop where the
        pipeline has one (``KBCrop``).

    Raises:
        ValueError: The model is no depth estimator, or knows no such scene; the file holds no image.
    """
    if not isinstance(model, DepthEstimator):
        raise ValueError(f'Expected a depth estimator, got {type(model).__name__}: check the config')
    sample = _test(model, image, category_id=scene_index(model, scene))
    return sample.pred_depth_map.data[0].float().cpu().numpy()


@torch.no_grad()
def segment_phrase(model: nn.Module, image: str | Path | np.ndarray, text: str) -> np.ndarray:
    """Segment what a sentence refers to in an image.

    The image goes through the test pipeline of the model's config; the mask has the image's own size all the same.

    Args:
        model (nn.Module): A referring segmentor with its config, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR as ``mmcv.imread`` gives it.
        text (str): What to segment, in English, such as ``'the red sphere left of the blue box'``.

    Returns:
        np.ndarray: ``(H, W)`` bool, true on the object.

    Raises:
        TypeError: The text is no string.
        ValueError: The model is no referring segmentor; the text is empty or not in Latin script; the file holds no
            image.
        RuntimeError: The model has no text encoder, see :class:`mmdiffperc.models.TextPrompts`.
    """
    if not isinstance(model, ReferringSegmentor):
        raise ValueError(f'Expected a referring segmentor, got {type(model).__name__}: check the config')
    return _test(model, image, text=text).pred_sem_seg.data[0].cpu().numpy() == REFERRED


def _test(model, image, **information):
    """The data sample with the prediction; the pipeline gets the further information, too."""
    loader, *transforms = model.cfg.test_dataloader.dataset.pipeline
    transforms = [transform for transform in transforms if transform['type'] not in ANNOTATION_LOADERS]
    if isinstance(image, np.ndarray):
        loader, data = dict(loader, type='LoadImageFromNDArray'), dict(img=image)
    else:
        data = dict(img_path=str(image))
    with DefaultScope.overwrite_default_scope('mmseg'):  # a model of another host may have been made since
        pipeline = Compose([loader, *transforms])
    return model.test_step(pseudo_collate([pipeline(data | information)]))[0]


def scene_index(model: nn.Module, scene: str | None) -> int:
    """Number of a scene class, or -1 if there is none.

    Raises:
        ValueError: The model knows no such scene.
    """
    if scene is None:
        return UNKNOWN_SCENE
    scenes = model.backbone.prompts.classes if getattr(model.backbone, 'class_embed_select', False) else ()
    if scene not in scenes:
        known = ', '.join(scenes) or 'none, for this model asks for no scene'
        raise ValueError(f'Unknown scene {scene!r}: choose from {known}; or leave it out')
    return scenes.index(scene)
