"""Measures of depth: which pixels are compared, and the measures of the field."""

import math

import numpy as np
import torch

from .alignment import fit_depth
from .arrays import Array, library_of, share_of

NYU_SIZE = (480, 640)
NYU_CROP = (45, 471, 41, 601)  # first row, row after the last, first column, column after the last
# The same edges as fractions of height and width.
KITTI_CROPS = {
    'garg_crop': (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    'eigen_crop': (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
CROPS = ('nyu_crop', *KITTI_CROPS)
BENCHMARK_SIZE = (352, 1216)  # of KITTI
MEASURES = ('d1', 'd2', 'd3', 'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'irmse', 'kitti_silog')


def crop_mask(height: int, width: int, crop_type: str) -> np.ndarray:
    """Return which pixels are inside an evaluation crop.

    The crop of NYU Depth v2 is given in pixels. The crops of KITTI, by Garg et al. (ECCV 2016) and after Eigen et al.
    (NeurIPS 2014), are fractions *of the map that is evaluated*. They select different pixels of a whole image of
    375 x 1242 and of its benchmark crop of 352 x 1216, on which VPD and MetaPrompts are evaluated (:class:`.KBCrop`).

    Args:
        height (int): Height of the map.
        width (int): Width of the map.
        crop_type (str): One of ``CROPS``.

    Returns:
        np.ndarray: Boolean ``(H, W)``.

    Raises:
        ValueError: ``crop_type`` is 'nyu_crop' and the map does not have NYU's size.
    """
    if crop_type == 'nyu_crop':
        if (height, width) != NYU_SIZE:
            raise ValueError(
                f'nyu_crop is defined on depth maps of 480 x 640, got {height} x {width}: evaluate at the original '
                'size, or choose another crop_type or None'
            )
        top, bottom, left, right = NYU_CROP
    else:
        sizes = np.array([height, height, width, width])
        top, bottom, left, right = (KITTI_CROPS[crop_type] * sizes).astype(int)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def depth_measures(pred: Array, gt: Array) -> dict[str, float]:
    """Compute the measures of one image, as Eigen et al. (NeurIPS 2014) and the official code of VPD define them.

    ``d1 d2 d3``: share of pixels with ``max(pred / gt, gt / pred)`` below 1.25, 1.25^2, 1.25^3. ``silog``:
    ``sqrt(mean(e^2) - 0.5 mean(e)^2)`` of ``e = log(pred) - log(gt)``, not multiplied by 100. ``irmse``: the root mean
    squared error of the inverse depth, as the KITTI benchmark defines it, in 1 / km if depth is in metres.
    ``kitti_silog``: ``100 sqrt(mean(e^2) - mean(e)^2)``, which that benchmark and the code of ECoDepth call silog.

    Args:
        pred (np.ndarray | torch.Tensor): Predicted depth ``(N,)``, positive.
        gt (np.ndarray | torch.Tensor): True depth ``(N,)``, positive.

    Returns:
        dict[str, float]: All of ``MEASURES``, by name.
    """
    library = library_of(pred)
    ratio = library.maximum(pred / gt, gt / pred)
    error, log_error = pred - gt, library.log(pred) - library.log(gt)
    mean_square_of_log, square_of_mean_log = float((log_error**2).mean()), float(log_error.mean()) ** 2
    return dict(
        d1=share_of(ratio < 1.25),
        d2=share_of(ratio < 1.25**2),
        d3=share_of(ratio < 1.25**3),
        abs_rel=float((abs(error) / gt).mean()),
        sq_rel=float((error**2 / gt).mean()),
        rmse=float((error**2).mean()) ** 0.5,
        rmse_log=mean_square_of_log**0.5,
        log10=float(abs(log_error).mean()) / math.log(10),
        silog=(mean_square_of_log - 0.5 * square_of_mean_log) ** 0.5,
        irmse=1000 * float(((1 / pred - 1 / gt) ** 2).mean()) ** 0.5,
        kitti_silog=100 * max(mean_square_of_log - square_of_mean_log, 0) ** 0.5,
    )


def is_compared(gt: Array, min_depth: float, max_depth: float, crop_type: str | None = None) -> Array:
    """Return which pixels of a true depth map are compared: strictly between the limits, and inside the crop.

    Args:
        gt (np.ndarray | torch.Tensor): True depth ``(..., H, W)``. NaN is not compared.
        min_depth (float): Lower limit.
        max_depth (float): Upper limit.
        crop_type (str, optional): One of ``CROPS``. Default: the whole map.

    Returns:
        np.ndarray | torch.Tensor: Boolean, in the shape of the map.
    """
    compared = (gt > min_depth) & (gt < max_depth)
    if not crop_type:
        return compared
    mask = crop_mask(*gt.shape[-2:], crop_type)
    return compared & (torch.from_numpy(mask).to(gt.device) if isinstance(gt, torch.Tensor) else mask)


def benchmark_crop(size: tuple[int, int], crop: tuple[int, int] = BENCHMARK_SIZE) -> tuple[slice, slice]:
    """Return the rows and columns of KITTI's benchmark crop: the bottom rows, and the middle columns.

    Args:
        size (tuple[int, int]): Height and width of the image.
        crop (tuple[int, int]): Height and width of the crop. Defaults to (352, 1216).

    Raises:
        ValueError: The image is smaller than the crop.
    """
    top, left = size[0] - crop[0], (size[1] - crop[1]) // 2
    if top < 0 or left < 0:
        raise ValueError(f'an image of {size[0]} x {size[1]} is too small for a crop of {crop[0]} x {crop[1]}')
    return slice(top, top + crop[0]), slice(left, left + crop[1])


def evaluate_depth(
    pred: np.ndarray,
    gt: np.ndarray,
    min_depth: float,
    max_depth: float,
    crop_type: str | None = None,
    align: str | None = None,
    clamp: bool = False,
    max_align_size: int | None = None,
) -> dict[str, float] | None:
    """Compute the measures of one depth map.

    Args:
        pred (np.ndarray): Predicted depth ``(H, W)``, or disparity if ``align`` ends in ``_disparity``.
        gt (np.ndarray): True depth ``(H, W)``.
        min_depth (float): Lower limit, see :func:`is_compared`.
        max_depth (float): Upper limit.
        crop_type (str, optional): One of ``CROPS``. Default: the whole map.
        align (str, optional): One of ``ALIGNMENTS``, see :func:`.fit_depth`. Default: the prediction is not aligned.
        clamp (bool): Clamp the prediction to the limits, after aligning it. Defaults to False.
        max_align_size (int, optional): ``max_size`` of :func:`.fit_depth`. Default: align with all compared pixels.

    Returns:
        dict[str, float] | None: All of ``MEASURES``, or None if no pixel is compared.

    Raises:
        AlignmentError: The prediction cannot be aligned.
        ValueError: The map does not have the size of the crop.
    """
    compared = is_compared(gt, min_depth, max_depth, crop_type)
    if not compared.any():
        return None
    fit = align and fit_depth(pred, gt, align, compared, max_align_size)
    pred, gt = pred[compared].astype(float), gt[compared].astype(float)
    if fit:
        pred = fit.apply(pred)
    if clamp:
        pred = pred.clip(min_depth, max_depth)
    return depth_measures(pred, gt)
