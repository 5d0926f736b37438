"""Test images window by window, with several windows in a batch."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch

from mmdiffperc.models.prompts.sample_sentences import samples_of

Window = tuple[slice, slice]


class BatchedWindows:
    """Sliding windows for a segmentor of mmsegmentation, ``window_batch`` of them at a time.

    mmsegmentation predicts one window after the other. Here, the windows of all images in a batch form one list, in the
    order of mmsegmentation: the first window of each image, then the second. ``test_cfg['window_batch']`` of them go
    through the network together. By default, these are as many as there are images. The result does not depend on it,
    except for rounding. Where windows overlap, their predictions are averaged.

    Put this class before the segmentor among the bases.
    """

    test_cfg: Any
    out_channels: int

    def slide_inference(self, inputs: torch.Tensor, batch_img_metas: Sequence[dict]) -> torch.Tensor:
        """Predict ``(B, C, H, W)`` for images ``(B, 3, H, W)``, in windows of ``crop_size`` at every ``stride``.

        The last windows are moved back into the image. Along an axis shorter than the window, there is one window of
        the length of the image.
        """
        windows = find_windows(inputs.shape[-2:], self.test_cfg['crop_size'], self.test_cfg['stride'])
        return self.predict_windows(inputs, batch_img_metas, windows)

    def predict_windows(
        self,
        inputs: torch.Tensor,
        batch_img_metas: Sequence[dict],
        windows: Sequence[Window],
        flip: bool = False,
        at_once: int | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Average the predictions for windows.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``.
            batch_img_metas (Sequence[dict]): Meta information of the images.
            windows (Sequence[tuple[slice, slice]]): Rows and columns of each window; all have the same size.
            flip (bool): Average each window with its mirror image first. Defaults to False.
            at_once (int, optional): Number of windows in a batch if ``test_cfg`` has no ``window_batch``. Default: the
                number of images.
            weights (Tensor, optional): Weight of each window in each column of the image ``(S, W)``, for a weighted
                average. Default: equal weights.

        Returns:
            Tensor: ``(B, C, H, W)``, NaN in pixels that are in no window.
        """
        weights = inputs.new_ones(len(windows), inputs.shape[-1]) if weights is None else weights
        places = list(product(range(len(windows)), range(len(inputs))))
        at_once = self.test_cfg.get('window_batch') or at_once or len(inputs)
        total = inputs.new_zeros(len(inputs), self.out_channels, *inputs.shape[-2:])
        count = inputs.new_zeros(1, 1, *inputs.shape[-2:])
        for (rows, columns), weight in zip(windows, weights, strict=True):
            count[..., rows, columns] += weight[columns]
        for start in range(0, len(places), at_once):
            chunk = places[start : start + at_once]
            crops = [(windows[window], index) for window, index in chunk]
            predictions = self._predict_places(inputs, batch_img_metas, crops, flip)
            for (window, index), prediction in zip(chunk, predictions, strict=True):
                rows, columns = windows[window]
                total[index, :, rows, columns] += prediction * weights[window, columns]
        return total.div_(count)

    def _predict_places(self, inputs, metas, places, flip) -> torch.Tensor:
        """Return the predictions ``(N, C, h, w)`` for windows of images."""
        crops = torch.stack([inputs[index, :, rows, columns] for (rows, columns), index in places])  # (N, 3, h, w)
        metas = [dict(metas[index], img_shape=crops.shape[-2:]) for _, index in places]
        if not flip:
            with samples_of(metas):
                return self.encode_decode(crops, metas)
        with samples_of(metas * 2):
            predictions, mirrored = self.encode_decode(torch.cat([crops, crops.flip(3)]), metas * 2).chunk(2)
        return (predictions + mirrored.flip(3)) / 2


def find_windows(size: Sequence[int], crop_size: Sequence[int], stride: Sequence[int]) -> list[Window]:
    """Return the rows and columns of windows that cover an image, row by row.

    Args:
        size (Sequence[int]): Height and width of the image.
        crop_size (Sequence[int]): Height and width of a window.
        stride (Sequence[int]): Vertical and horizontal distance between windows; the last ones may be closer.
    """
    return list(product(*map(_spans, size, crop_size, stride)))


def _spans(side: int, crop: int, stride: int) -> Iterator[slice]:
    crop = min(crop, side)
    for index in range(-(-(side - crop) // stride) + 1):
        end = min(index * stride + crop, side)
        yield slice(end - crop, end)
