"""One's own image, without annotations, through the test pipeline of a model's config."""

from pathlib import Path

import numpy as np
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadDepthAnnotation', 'LoadReferringMask')


def single_image_batch(model: nn.Module, image: str | Path | np.ndarray, **information) -> dict[str, list]:
    """The batch of one image that the model's ``test_step`` and ``data_preprocessor`` take.

    Args:
        model (nn.Module): A host's model with its config as ``model.cfg``, as ``mmseg.apis.init_model`` gives it.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR as ``mmcv.imread`` gives it.
        **information: What else the pipeline is to know of the sample, such as a sentence.
    """
    loader, *transforms = model.cfg.test_dataloader.dataset.pipeline
    transforms = [transform for transform in transforms if transform['type'] not in ANNOTATION_LOADERS]
    if isinstance(image, np.ndarray):
        loader, data = dict(loader, type='LoadImageFromNDArray'), dict(img=image)
    else:
        data = dict(img_path=str(image))
    with DefaultScope.overwrite_default_scope(model.cfg.default_scope):  # another host's model may have been made since
        pipeline = Compose([loader, *transforms])
    return pseudo_collate([pipeline(data | information)])
