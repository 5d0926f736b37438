"""Depth maps as pictures."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

COLOUR_MAP = 'magma_r'  # perceptually uniform, the nearest brightest
ERROR_MAP = 'coolwarm'  # blue is too near, red too far
PANEL_INCHES = 2.4


def colour_depth(depth: np.ndarray) -> np.ndarray:
    """Colour a depth map, from its nearest to its farthest point; black where there is no depth (0 or not finite).

    Args:
        depth (np.ndarray): ``(H, W)``.

    Returns:
        np.ndarray: ``(H, W, 3)`` uint8, RGB.
    """
    colours = matplotlib.colormaps[COLOUR_MAP].with_extremes(bad='black')
    return colours(Normalize()(_measured(depth)), bytes=True)[..., :3]


def depth_figure(rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw one row per image: the image, its true depth, its predicted depth and the error, with colour scales.

    Args:
        rows (Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]): Image ``(H, W, 3)`` uint8, RGB; truth ``(H, W)`` in
            metres, 0 where it is unknown; prediction ``(H, W)`` in metres.
    """
    height = sum(PANEL_INCHES * image.shape[0] / image.shape[1] + 0.4 for image, _, _ in rows)
    figure = Figure(figsize=(4 * PANEL_INCHES + 1.6, height), dpi=120, layout='constrained')
    for axes, row in zip(figure.subplots(len(rows), 4, squeeze=False), rows, strict=True):
        _draw_row(figure, axes, *row)
    return figure


def _draw_row(figure, axes, image, truth, prediction):
    truth, prediction = _measured(truth), _measured(prediction)
    error = prediction - truth
    depths = Normalize(min(truth.min(), prediction.min()), max(truth.max(), prediction.max()))
    errors = Normalize(-abs(error).max(), abs(error).max())
    axes[0].imshow(image)
    axes[1].imshow(truth, COLOUR_MAP, depths)
    shown_depth = axes[2].imshow(prediction, COLOUR_MAP, depths)
    shown_error = axes[3].imshow(error, ERROR_MAP, errors)
    figure.colorbar(shown_depth, ax=axes[1:3], label='m')
    figure.colorbar(shown_error, ax=axes[3], label='m')
    rmse = np.sqrt((error**2).mean())
    for ax, title in zip(axes, ('image', 'truth', 'prediction', f'error (RMSE {rmse:.2f} m)'), strict=True):
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()


def _measured(depth):
    """Return the depth map, masked where there is no depth."""
    return np.ma.array(depth, mask=~(np.isfinite(depth) & (depth > 0)))
