"""Measures of depth: which pixels are compared, how a prediction is aligned, and the nine measures of the field."""

import math

import numpy as np

from .arrays import Array, library_of, share_of

NYU_SIZE = (480, 640)
NYU_CROP = (45, 471, 41, 601)  # first row, row after the last, first column, column after the last
# The same edges as fractions of height and width.
KITTI_CROPS = {
    'garg_crop': (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    'eigen_crop': (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
CROPS = ('nyu_crop', *KITTI_CROPS)
ALIGNMENTS = ('median', 'least_squares')
MEASURES = ('d1', 'd2', 'd3', 'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog')


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


def align_depth(pred: np.ndarray, gt: np.ndarray, method: str) -> np.ndarray:
    """Fit the scale, or the scale and shift, that relative depth does not determine.

    ``median`` scales by ``median(gt) / median(pred)`` (Zhou et al., CVPR 2017). ``least_squares`` fits a scale and a
    shift, ``min sum (s pred + t - gt)^2`` (Ranftl et al., TPAMI 2022; here of depth, not of disparity).

    Args:
        pred (np.ndarray): Predicted depth ``(N,)`` of the compared pixels.
        gt (np.ndarray): True depth ``(N,)`` of the same pixels.
        method (str): One of ``ALIGNMENTS``.

    Returns:
        np.ndarray: Aligned depth ``(N,)``; ``least_squares`` may return negative values.

    Raises:
        ValueError: ``method`` is 'median' and the median of the prediction is not positive.
    """
    if method == 'median':
        median = np.median(pred)
        if not median > 0:
            raise ValueError(
                f'no scale maps the median of the prediction, {median:g}, to the median of the true depth; check the '
                "prediction, or align by 'least_squares'"
            )
        return pred * (np.median(gt) / median)
    centred = pred - pred.mean()
    variance = centred @ centred
    # A constant prediction determines no scale; the best constant is the mean.
    scale = centred @ gt / variance if variance > 0 else 0.0
    return scale * centred + gt.mean()


def depth_measures(pred: Array, gt: Array) -> dict[str, float]:
    """Compute the measures of one image, as Eigen et al. (NeurIPS 2014) and the official code of VPD define them.

    ``d1 d2 d3``: share of pixels with ``max(pred / gt, gt / pred)`` below 1.25, 1.25^2, 1.25^3. ``silog``:
    ``sqrt(mean(e^2) - 0.5 mean(e)^2)`` of ``e = log(pred) - log(gt)``, not multiplied by 100.

    Args:
        pred (np.ndarray | torch.Tensor): Predicted depth ``(N,)``, positive.
        gt (np.ndarray | torch.Tensor): True depth ``(N,)``, positive.

    Returns:
        dict[str, float]: All of ``MEASURES``, by name.
    """
    library = library_of(pred)
    ratio = library.maximum(pred / gt, gt / pred)
    error, log_error = pred - gt, library.log(pred) - library.log(gt)
    mean_square_of_log = float((log_error**2).mean())
    return dict(
        d1=share_of(ratio < 1.25),
        d2=share_of(ratio < 1.25**2),
        d3=share_of(ratio < 1.25**3),
        abs_rel=float((abs(error) / gt).mean()),
        sq_rel=float((error**2 / gt).mean()),
        rmse=float((error**2).mean()) ** 0.5,
        rmse_log=mean_square_of_log**0.5,
        log10=float(abs(log_error).mean()) / math.log(10),
        silog=(mean_square_of_log - 0.5 * float(log_error.mean()) ** 2) ** 0.5,
    )


def is_compared(gt: Array, min_depth: float, max_depth: float, crop_type: str | None = None) -> Array:
    """Return which pixels of a true depth map are compared: strictly between the limits, and inside the crop.

    Args:
        gt (np.ndarray | torch.Tensor): True depth ``(H, W)``, with a crop an array. NaN is not compared.
        min_depth (float): Lower limit.
        max_depth (float): Upper limit.
        crop_type (str, optional): One of ``CROPS``. Default: the whole map.

    Returns:
        np.ndarray | torch.Tensor: Boolean ``(H, W)``.
    """
    compared = (gt > min_depth) & (gt < max_depth)
    return compared & crop_mask(*gt.shape, crop_type) if crop_type else compared


def evaluate_depth(
    pred: np.ndarray,
    gt: np.ndarray,
    min_depth: float,
    max_depth: float,
    crop_type: str | None = None,
    align: str | None = None,
    clamp: bool = False,
) -> dict[str, float] | None:
    """Compute the measures of one depth map.

    Args:
        pred (np.ndarray): Predicted depth ``(H, W)``.
        gt (np.ndarray): True depth ``(H, W)``.
        min_depth (float): Lower limit, see :func:`is_compared`.
        max_depth (float): Upper limit.
        crop_type (str, optional): One of ``CROPS``. Default: the whole map.
        align (str, optional): One of ``ALIGNMENTS``. Default: the prediction is not aligned.
        clamp (bool): Clamp the prediction to the limits. Defaults to False.

    Returns:
        dict[str, float] | None: All of ``MEASURES``, or None if no pixel is compared.

    Raises:
        ValueError: The map does not have the size of the crop, or cannot be aligned.
    """
    compared = is_compared(gt, min_depth, max_depth, crop_type)
    if not compared.any():
        return None
    pred, gt = pred[compared].astype(float), gt[compared].astype(float)
    if align:
        pred = align_depth(pred, gt, align)
    if clamp:
        pred = pred.clip(min_depth, max_depth)
    return depth_measures(pred, gt)
