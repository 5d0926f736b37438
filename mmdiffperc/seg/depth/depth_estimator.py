"""A depth estimator for images of any size, with the official test procedure."""

import math
from itertools import pairwise

import torch
from mmengine.config import ConfigDict
from mmseg.models import DepthEstimator, EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from mmdiffperc.models.checks.dispatcher import model_check
from mmdiffperc.models.checks.test_cfg_check import check_inference_mode
from mmdiffperc.seg.windows import BatchedWindows, find_windows
from mmdiffperc.validation import validated

from .metric_bins_head import resize_aligned

TEST_MODES = ('whole', 'slide', 'slide_flip', 'shift', 'blend', 'squash')


@MODELS.register_module()
@validated
class DiffusionDepthEstimator(BatchedWindows, DepthEstimator):
    """mmseg's ``DepthEstimator`` for images of any size, with the official test procedure of VPD and MetaPrompts.

    A head with a method ``fit_images`` prepares the images for the network, for example by padding. It receives the
    features of the prepared images, followed by the (height, width) of the original ones.

    ``test_cfg['mode']`` is one of

    - ``'whole'``, the default: the image at once.
    - ``'slide'``: windows of ``crop_size`` at every ``stride``, the last one moved back into the image.
    - ``'slide_flip'``: like ``'slide'``, with each window averaged with its mirror image.
    - ``'shift'``: ``num_windows`` square windows, the official procedure; see :meth:`shift_inference`.
    - ``'blend'``: windows of ``crop_width``, blended where they overlap; see :meth:`blend_inference`.
    - ``'squash'``: the image at once, resized to ``size``, and the depth resized back; see :meth:`squash_inference`.

    With ``flip=True``, the depth of ``'whole'`` and ``'blend'`` is averaged with the depth of the mirror image. For
    ``'shift'`` and ``'squash'``, this is the default.

    With ``window_batch=8`` in ``test_cfg``, eight windows go through the network together, with the mirror image of
    each if they are flipped. The result is the same up to rounding.

    Args:
        test_cfg (dict, optional): The test mode and its windows. Default: ``dict(mode='whole')``.
        **kwargs: Arguments of mmseg's ``DepthEstimator``.

    Raises:
        ValueError: The test mode is unknown, or its windows are missing or wrong.
    """

    def __init__(self, test_cfg: dict | None = None, **kwargs):
        test_cfg = ConfigDict(dict(mode='whole') | (test_cfg or {}))
        check_inference_mode(test_cfg, TEST_MODES)
        super().__init__(test_cfg=test_cfg, **kwargs)

    def extract_feat(self, inputs: torch.Tensor | tuple, batch_img_metas: list[dict] | None = None) -> tuple:
        """Compute features of images ``(B, 3, H, W)``, which the head prepares if it has ``fit_images``.

        The images may be followed by their scenes ``(B,)``, as for the backbone; then those of the meta information
        do not matter.
        """
        self._check_scenes(batch_img_metas)
        if not hasattr(self.decode_head, 'fit_images'):
            return super().extract_feat(inputs, batch_img_metas)
        images, *scenes = inputs if isinstance(inputs, tuple) else (inputs,)
        fitted = self.decode_head.fit_images(images)
        inputs = (fitted, *scenes) if scenes else fitted
        return (*super().extract_feat(inputs, batch_img_metas), tuple(images.shape[-2:]))

    def _check_scenes(self, metas):
        """Check the scene classes on the host, where mmseg reads them."""
        prompts = getattr(self.backbone, 'prompts', None)
        if getattr(self.backbone, 'class_embed_select', False) and metas and 'category_id' in metas[0]:
            prompts.check_condition([meta['category_id'] for meta in metas])

    def inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth ``(B, 1, H, W)`` in the test mode; mmseg's method uses 'whole' for 'slide'."""
        return getattr(self, f'{self.test_cfg.mode}_inference')(inputs, batch_img_metas)

    def whole_inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth ``(B, 1, H, W)`` of the image at once, averaged with its mirror image if ``flip`` is set."""
        if not self.test_cfg.get('flip', False):
            return super().whole_inference(inputs, batch_img_metas)
        whole = tuple(slice(0, side) for side in inputs.shape[-2:])
        return self.predict_windows(inputs, batch_img_metas, [whole], flip=True)

    def slide_flip_inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth ``(B, 1, H, W)`` in windows, each averaged with its mirror image."""
        windows = find_windows(inputs.shape[-2:], self.test_cfg['crop_size'], self.test_cfg['stride'])
        return self.predict_windows(inputs, batch_img_metas, windows, flip=True)

    def blend_inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth by windows that cover the width and are blended where they overlap: ``test.py`` of ECoDepth.

        The windows have the height of the image and the width ``crop_width``. As few as possible overlap by ``overlap``
        columns or more, evenly spaced, from the left to the right border. An image that is not wider is one window.
        Where two windows overlap, their weights change linearly. All windows, or ``window_batch`` of them, go through
        the network in one batch, with their mirror images if ``flip`` is set.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``.
            batch_img_metas (list[dict]): Meta information of the images.

        Returns:
            Tensor: Depth ``(B, 1, H, W)``.
        """
        height, width = inputs.shape[-2:]
        side = min(self.test_cfg['crop_width'], width)
        starts = window_starts(width, side, self.test_cfg['overlap'])
        windows = [(slice(0, height), slice(start, start + side)) for start in starts]
        weights = blending_weights(width, side, starts, inputs.device).to(inputs.dtype)  # (S, W)
        at_once = len(windows) * len(inputs)
        return self.predict_windows(
            inputs, batch_img_metas, windows, self.test_cfg.get('flip', False), at_once, weights
        )

    def shift_inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth by square windows along the longer side: ``test.py`` of VPD, also used by MetaPrompts.

        The sides of the windows equal the shorter side of the image, and the windows are
        ``(longer - shorter) // (num_windows - 1)`` pixels apart. All windows, or ``window_batch`` of them, go through
        the network in one batch, with their mirror images unless ``flip`` is False. Each window is first averaged with
        its mirror image; then the windows are averaged where they overlap. Because the interval is an integer, the last
        few columns may not be in any window, and their depth is NaN. For an image so long that the windows would leave
        gaps, more windows are used.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``.
            batch_img_metas (list[dict]): Meta information of the images.

        Returns:
            Tensor: Depth ``(B, 1, H, W)``.
        """
        height, width = inputs.shape[-2:]
        side, longer = sorted((height, width))
        num_windows = max(self.test_cfg['num_windows'], math.ceil(longer / side))
        interval = (longer - side) // (num_windows - 1)
        spans = [slice(index * interval, index * interval + side) for index in range(num_windows)]
        whole = slice(0, side)
        windows = [(whole, span) if width >= height else (span, whole) for span in spans]
        flip = self.test_cfg.get('flip', True)
        return self.predict_windows(inputs, batch_img_metas, windows, flip, at_once=len(windows) * len(inputs))

    def squash_inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict depth of images resized to ``size``, and resize it back: ``test.py`` of EVP without windows.

        The images, with their mirror images unless ``flip`` is False, are resized bilinearly with aligned corners.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``.
            batch_img_metas (list[dict]): Meta information of the images.

        Returns:
            Tensor: Depth ``(B, 1, H, W)``.
        """
        whole = tuple(slice(0, side) for side in self.test_cfg['size'])
        squashed = resize_aligned(inputs, self.test_cfg['size'])
        depth = self.predict_windows(squashed, batch_img_metas, [whole], self.test_cfg.get('flip', True))
        return resize_aligned(depth, inputs.shape[2:])


def window_starts(width: int, side: int, overlap: int) -> list[int]:
    """Return the first columns of windows that cover a width, as few as possible with at least this overlap."""
    num_windows = 1 + max(0, math.ceil((width - side) / (side - overlap)))
    return [round(index * (width - side) / max(num_windows - 1, 1)) for index in range(num_windows)]


def blending_weights(width: int, side: int, starts: list[int], device: torch.device | None = None) -> torch.Tensor:
    """Return the weight of each window in each column ``(S, W)``; those of a column sum to 1.

    From the first to the last column of an overlap, the weight of a window falls linearly from 1 to 0.
    """
    weights = torch.zeros(len(starts), width, device=device)
    for index, start in enumerate(starts):
        weights[index, start : start + side] = 1
    for index, (start, following) in enumerate(pairwise(starts)):
        ramp = torch.linspace(0, 1, start + side - following, device=device)
        weights[index, following : start + side] *= 1 - ramp
        weights[index + 1, following : start + side] *= ramp
    return weights / weights.sum(0)


@model_check
def refuse_other_estimator(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a head with ``fit_images`` in a segmentor that does not call it.

    Raises:
        ValueError: The segmentor is not a :class:`.DiffusionDepthEstimator`.
    """
    is_other = isinstance(model, EncoderDecoder) and not isinstance(model, DiffusionDepthEstimator)
    if is_other and hasattr(part, 'fit_images'):
        raise ValueError(
            f'{name} {type(part).__name__} resizes the images for the network, which {type(model).__name__} does not '
            "support: use type='DiffusionDepthEstimator'"
        )
