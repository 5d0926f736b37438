"""Predictions for your own image."""

from pathlib import Path

import numpy as np
import torch
from mmseg.models import DepthEstimator
from torch import nn

from mmdiffperc.inference.single_image import single_image_batch
from mmdiffperc.models.prompts.sentences import check_sentence
from mmdiffperc.seg.depth.checked_nyu_dataset import UNKNOWN_SCENE
from mmdiffperc.seg.referring.refer_metric import REFERRED
from mmdiffperc.seg.referring.referring_segmentor import ReferringSegmentor


@torch.no_grad()
def predict_depth(model: nn.Module, image: str | Path | np.ndarray, scene: str | None = None) -> np.ndarray:
    """Predict the depth of an image.

    The image goes through the test pipeline of the model's config and is tested in the config's mode. (mmseg's
    ``inference_model`` would ask for the true depth of the image, and cannot be told the scene.)

    Args:
        model (nn.Module): A depth estimator with its config, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``mmcv.imread`` gives it.
        scene (str, optional): One of the scene classes with which the model was trained, such as ``'kitchen'``.
            Default: unknown, for which the mean prompt of all stands.

    Returns:
        np.ndarray: Depth ``(H, W)`` in metres, float32, at the image's own size, or that of its crop where the
        pipeline has one (``KBCrop``).

    Raises:
        TypeError: The image is neither file nor array.
        ValueError: The model is no depth estimator, or knows no such scene; the file holds no image, or the array is of
            another shape or type.
    """
    if not isinstance(model, DepthEstimator):
        raise ValueError(f'Expected a depth estimator, got {type(model).__name__}: check the config')
    batch = single_image_batch(model, image, category_id=scene_index(model, scene))
    return model.test_step(batch)[0].pred_depth_map.data[0].float().cpu().numpy()


@torch.no_grad()
def segment_phrase(model: nn.Module, image: str | Path | np.ndarray, text: str) -> np.ndarray:
    """Segment what a sentence refers to in an image.

    The image goes through the test pipeline of the model's config; the mask has the image's own size all the same.

    Args:
        model (nn.Module): A referring segmentor with its config, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``mmcv.imread`` gives it.
        text (str): What to segment, in English, such as ``'the red sphere left of the blue box'``.

    Returns:
        np.ndarray: ``(H, W)`` bool, true on the object.

    Raises:
        TypeError: The text is no string; the image is neither file nor array.
        ValueError: The model is no referring segmentor; the text is empty or not in Latin script; the file holds no
            image, or the array is of another shape or type.
        RuntimeError: The model has no text encoder, see :class:`.TextPrompts`.
    """
    if not isinstance(model, ReferringSegmentor):
        raise ValueError(f'Expected a referring segmentor, got {type(model).__name__}: check the config')
    check_sentence(text)
    sample = model.test_step(single_image_batch(model, image, text=text))[0]
    return sample.pred_sem_seg.data[0].cpu().numpy() == REFERRED


def scene_index(model: nn.Module, scene: str | None) -> int:
    """Return the number of a scene class, or -1 if there is none.

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
