"""Segment images into classes."""

import numpy as np
from mmseg.structures import SegDataSample

from mmdiffperc.inference.captioned import CaptionedInferencer
from mmdiffperc.inference.inputs import Frame
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.visualization.mask import label_overlay


class SemanticInferencer(CaptionedInferencer):
    """Segment images into classes with one of mmseg's segmentors.

    (mmseg's own inferencer requires the image loader of the config to have a certain name, numbers its files instead of
    naming them after the images, and cannot process images of different sizes in one batch.) A prediction is
    ``dict(labels=...)``, an array ``(H, W)`` with the class number of each pixel.

    For each image, ``NAME_labels.png`` holds this array, in 16 bits if there are more than 256 classes, and
    ``NAME_overlay.png`` shows the classes as colours on the image.

    The option ``text`` of a call is that of :class:`.CaptionedInferencer`.
    """

    endings = ('_labels.png',)
    picture_ending = '_overlay'

    def to_prediction(self, result: SegDataSample, frame: Frame) -> dict:
        """Return the number of the class at each pixel."""
        labels = result.pred_sem_seg.data[0].cpu().numpy()
        return dict(labels=labels.astype(np.uint8 if len(self.classes) <= 256 else np.uint16))

    def draw(self, image: np.ndarray, prediction: dict) -> np.ndarray:
        """Tint each pixel in the colour of its class."""
        return label_overlay(image[..., ::-1], prediction['labels'], self.dataset_meta['palette'])

    def encode(self, prediction: dict) -> dict[str, bytes]:
        """Encode the labels as PNG."""
        return {'_labels.png': encode_png(prediction['labels'])}

    def summarize(self, prediction: dict) -> str:
        """Return the classes with their shares of the pixels, the largest first."""
        labels = prediction['labels']
        counts = np.bincount(labels.ravel(), minlength=len(self.classes))
        largest = [index for index in np.argsort(-counts) if counts[index]]
        return ', '.join(f'{self.classes[index]} {counts[index] / labels.size:.1%}' for index in largest)
