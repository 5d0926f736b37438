"""Cross-attention maps as pictures: where in an image the backbone looks for a class."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdiffperc.inference.image_files import read_image
from mmdiffperc.inference.pipeline import pipeline_for_testing
from mmdiffperc.models import DiffusionUNet

COLOUR_MAP = 'inferno'  # perceptually uniform: equal steps of attention look equal
PANEL_INCHES = 3.2  # the longer side of an image in a figure


@torch.no_grad()
def attention_maps(
    model: nn.Module, image: str | Path | np.ndarray, classes: Sequence[str] | None = None, stride: int | None = None
) -> dict[str, np.ndarray]:
    """Compute the cross-attention maps of classes for an image, at the size of the image.

    The image passes the test pipeline and the data preprocessor of the model's config and then the backbone, as a whole
    even if the config tests in sliding windows.

    Args:
        model (nn.Module): A host's model with its config as ``model.cfg``, such as ``mmseg.apis.init_model`` returns.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8.
        classes (Sequence[str], optional): Class names of the model's prompts. Default: all of them.
        stride (int, optional): The stride of the maps. Default: the finest.

    Returns:
        dict[str, np.ndarray]: For each class ``(H, W)``, attention probabilities in [0, 1], bilinear between the cells.

    Raises:
        ValueError: The backbone collects no maps, or none of this stride; a class without a prompt.
    """
    prompts, stride = _select_maps(model.backbone, classes, stride)
    sample = pipeline_for_testing(model.cfg)(dict(img=read_image(image)))
    data = model.data_preprocessor(pseudo_collate([sample]), False)
    sample = data['data_samples'][0]
    index = [group[0].stride for group in model.backbone.taps].index(stride)
    feature = model.backbone(data['inputs'])[index]
    maps = feature[:, -model.backbone.prompts.num_prompts :][:, list(prompts.values())].float()  # (1, k, h, w)
    # The last cells may reach beyond the image, into padding.
    cell = model.backbone.out_strides[index]
    maps = F.interpolate(maps, scale_factor=cell, mode='bilinear')[..., : sample.img_shape[0], : sample.img_shape[1]]
    maps = F.interpolate(maps, sample.ori_shape[:2], mode='bilinear')[0]
    return dict(zip(prompts, maps.cpu().numpy(), strict=True))


def _select_maps(backbone, classes, stride) -> tuple[dict[str, int], int]:
    """Return the indices of the prompts by class, and the stride."""
    if not isinstance(backbone, DiffusionUNet) or backbone.cross_attention is None:
        raise ValueError(
            'This model collects no cross-attention maps: expected a backbone of type DiffusionUNet whose config has '
            "cross_attention=dict(type='CrossAttentionMaps')"
        )
    strides = sorted(backbone.cross_attention.strides)
    if stride is not None and stride not in strides:
        raise ValueError(f'No cross-attention maps of stride {stride}: choose from {strides}')
    known = list(getattr(backbone.prompts, 'classes', ()))
    if not known:
        raise ValueError(f'Expected prompts that stand for classes, got {type(backbone.prompts).__name__}')
    if unknown := [name for name in classes or () if name not in known]:
        raise ValueError(f'No prompt for {", ".join(unknown)}: choose from {", ".join(known)}')
    return {name: known.index(name) for name in classes or known}, stride or strides[0]


def overlay(image: np.ndarray, attention: np.ndarray, opacity: float = 0.65) -> np.ndarray:
    """Overlay an image in grey with a map in colours, from its lowest to its highest value.

    Args:
        image (np.ndarray): ``(H, W, 3)`` uint8, RGB.
        attention (np.ndarray): ``(H, W)``.
        opacity (float): Opacity of the colours. Defaults to 0.65.

    Returns:
        np.ndarray: ``(H, W, 3)`` uint8, RGB.
    """
    # In grey, because the colours of the image could be mistaken for attention.
    grey = image.mean(axis=2, keepdims=True)
    colours = matplotlib.colormaps[COLOUR_MAP](Normalize()(attention))[..., :3] * 255
    return np.round(opacity * colours + (1 - opacity) * grey).astype(np.uint8)


def attention_figure(image: np.ndarray, maps: dict[str, np.ndarray]) -> Figure:
    """Draw an image and, beside it, the image with each map, its name and its colour scale.

    Args:
        image (np.ndarray): ``(H, W, 3)`` uint8, RGB.
        maps (dict[str, np.ndarray]): Maps ``(H, W)`` by their names, as :func:`attention_maps` returns them.
    """
    height, width = (PANEL_INCHES * side / max(image.shape[:2]) for side in image.shape[:2])
    figure = Figure(figsize=((width + 0.8) * (len(maps) + 1), height + 0.5), dpi=150, layout='constrained')
    first, *others = figure.subplots(1, len(maps) + 1, squeeze=False)[0]
    first.imshow(image)
    first.set_title('image')
    for axes, (name, attention) in zip(others, maps.items(), strict=True):
        axes.imshow(overlay(image, attention))
        axes.set_title(name)
        scale = ScalarMappable(Normalize(attention.min(), attention.max()), COLOUR_MAP)
        figure.colorbar(scale, ax=axes, fraction=0.05, format='%.2g', label='attention')
    for axes in (first, *others):
        axes.set_axis_off()
    return figure
