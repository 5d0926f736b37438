"""A segmentor for the object to which a sentence refers."""

from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmdiffperc.models.checks.test_cfg_check import check_inference_mode
from mmdiffperc.models.prompts.base_prompts import SENTENCE, BasePrompts
from mmdiffperc.seg.windows import BatchedWindows
from mmdiffperc.validation import validated

TEST_MODES = ('whole', 'slide')


@MODELS.register_module()
@validated
class ReferringSegmentor(BatchedWindows, EncoderDecoder):
    """mmseg's ``EncoderDecoder``, whose backbone receives the sentence of each sample with its image.

    The sentence is ``data_sample.text``, which ``ReferringSegDataset`` and ``PackSegInputs`` set. Class 1 is the object
    to which it refers, and class 0 everything else.

    Args:
        test_cfg (dict, optional): The test mode and its windows: ``dict(mode='slide', crop_size=..., stride=...)`` or
            ``dict(mode='whole')``, which is the default. With ``window_batch=8``, eight windows go through the network
            together.
        **kwargs: Arguments of mmseg's ``EncoderDecoder``. The backbone's prompts read sentences: ``TextPrompts``.

    Raises:
        ValueError: When building: the backbone's prompts do not read sentences, the test mode is unknown, or its
            windows are missing or wrong. Later: a sample has no sentence.
    """

    def __init__(self, test_cfg: dict | None = None, **kwargs):
        test_cfg = ConfigDict(dict(mode='whole') | (test_cfg or {}))
        check_inference_mode(test_cfg, TEST_MODES)
        super().__init__(test_cfg=test_cfg, **kwargs)
        prompts = getattr(self.backbone, 'prompts', None)
        if not isinstance(prompts, BasePrompts) or prompts.condition != SENTENCE:
            raise ValueError(
                'ReferringSegmentor passes sentences to its backbone: expected prompts of type TextPrompts, got '
                f'{type(prompts).__name__}'
            )

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, torch.Tensor]:
        """Compute the losses of images ``(B, 3, H, W)`` with their samples."""
        return super().loss((inputs, _sentences(data_samples)), data_samples)

    def encode_decode(self, inputs: torch.Tensor, batch_img_metas: Sequence[dict]) -> torch.Tensor:
        """Predict logits ``(B, 2, H, W)`` of images ``(B, 3, H, W)`` with their meta information."""
        return super().encode_decode((inputs, _sentences(batch_img_metas)), batch_img_metas)

    def _forward(self, inputs: torch.Tensor, data_samples: Sequence[SegDataSample] | None = None) -> torch.Tensor:
        return super()._forward((inputs, _sentences(data_samples)), data_samples)


def _sentences(samples: Sequence[SegDataSample | dict] | None) -> list[str]:
    """Return the sentences in samples, or in their meta information.

    Raises:
        ValueError: A sample has no sentence.
    """
    sentences = [sample.get('text') for sample in samples or ()]
    if not sentences or None in sentences:
        raise ValueError(
            'A sample has no sentence: its meta information lacks `text`. PackSegInputs must have it among its '
            'meta_keys; for an image of your own, use mmdiffperc predict'
        )
    return sentences
