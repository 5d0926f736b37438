"""Segment what a sentence refers to."""

import argparse

import numpy as np
from mmseg.structures import SegDataSample

from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.inferencer import ImageInferencer
from mmdiffperc.inference.inputs import Frame
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.models.prompts.sentences import check_sentence
from mmdiffperc.visualization.mask import mask_overlay
from mmdiffperc_cli.options import add_shared

from .refer_metric import REFERRED


class ReferringInferencer(ImageInferencer):
    """Segment what a sentence refers to with a :class:`.ReferringSegmentor`.

    A prediction is ``dict(mask=...)``, a boolean array ``(H, W)`` at the size of the image, true on the object. For
    each image, ``NAME_mask.png`` is 255 on the object and 0 elsewhere, and ``NAME_overlay.png`` shows the object tinted
    and outlined.

    Options of a call:

    - ``text`` (str, optional): What to segment, in English, such as ``'the red sphere left of the blue box'``. Default:
      the caption of each image in the ``metadata.jsonl`` of its folder.

    Raises:
        TypeError: In a call: ``text`` is not a string.
        ValueError: In a call: an image has neither text nor caption; the text is empty or not in Latin script.
        RuntimeError: ``weights`` hold no text encoder and it cannot be loaded, see :class:`.TextPrompts`.
    """

    preprocess_kwargs = {'text'}
    endings = ('_mask.png',)
    picture_ending = '_overlay'

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add ``--text``."""
        add_shared(parser, '--text', 'what to segment, in English; default: the captions in metadata.jsonl')

    @property
    def controls(self) -> tuple[Control, ...]:
        """The sentence."""
        return (Control('text', 'text', 'Text', 'What to segment, in English.'),)

    def describe(self, frame: Frame, text: str | None = None) -> dict:
        """Return the sentence."""
        text = frame.source.caption if text is None else text
        if text is None:
            raise ValueError(
                f'{frame.source.name}: what should be segmented? Give a text, or a folder whose metadata.jsonl has a '
                'caption for each image'
            )
        check_sentence(text)
        return dict(text=text)

    def to_prediction(self, result: SegDataSample, frame: Frame) -> dict:
        """Return the mask."""
        return dict(mask=result.pred_sem_seg.data[0].cpu().numpy() == REFERRED)

    def draw(self, image: np.ndarray, prediction: dict) -> np.ndarray:
        """Tint and outline the object."""
        return mask_overlay(image[..., ::-1], prediction['mask'])

    def encode(self, prediction: dict) -> dict[str, bytes]:
        """Encode the mask as PNG."""
        return {'_mask.png': encode_png(255 * prediction['mask'].astype(np.uint8))}

    def summarize(self, prediction: dict) -> str:
        """Return the share of the object in the image."""
        return f'{prediction["mask"].mean():.1%} of the pixels'
