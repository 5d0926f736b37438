"""A segmentor that tests windows in batches, and large images in windows."""

import torch
from mmengine.config import ConfigDict
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS

from mmdiffperc.models.checks.test_cfg_check import check_inference_mode
from mmdiffperc.seg.windows import BatchedWindows
from mmdiffperc.validation import validated

TEST_MODES = ('whole', 'slide', 'auto')


@MODELS.register_module()
@validated
class DiffusionSegmentor(BatchedWindows, EncoderDecoder):
    """mmseg's ``EncoderDecoder``, which tests several windows at a time.

    Its weights have the same names. ``test_cfg['mode']`` is one of

    - ``'whole'``, the default: the image at once.
    - ``'slide'``: windows of ``crop_size`` at every ``stride``, the last one moved back into the image. With
      ``window_batch=8``, eight of them go through the network together, also those of different images. The result
      equals that of ``EncoderDecoder``, up to rounding.
    - ``'auto'``: ``'whole'`` for images of at most ``whole_pixels`` pixels, otherwise ``'slide'``.

    Args:
        test_cfg (dict, optional): The test mode and its windows. Default: ``dict(mode='whole')``.
        **kwargs: Arguments of mmseg's ``EncoderDecoder``.

    Raises:
        ValueError: The test mode is unknown, or its windows are missing or wrong.
    """

    test_modes = TEST_MODES  # for the check at the first call

    def __init__(self, test_cfg: dict | None = None, **kwargs):
        test_cfg = ConfigDict(dict(mode='whole') | (test_cfg or {}))
        check_inference_mode(test_cfg, TEST_MODES)
        super().__init__(test_cfg=test_cfg, **kwargs)

    def inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """Predict logits ``(B, C, H, W)`` of images ``(B, 3, H, W)`` in the test mode."""
        mode = self.test_cfg.mode
        if mode == 'auto':
            mode = 'whole' if inputs[0, 0].numel() <= self.test_cfg.whole_pixels else 'slide'
        return getattr(self, f'{mode}_inference')(inputs, batch_img_metas)
