"""Name the classes of an image in one sentence."""

import random
import zlib
from typing import Annotated

import numpy as np
from pydantic import Field

from mmdiffperc.models.prompts.class_prompts import ClassNames, resolve_classes
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Expected, Fraction, NonNegativeInt, validated

from .caption_texts import BACKGROUND, class_text, present_classes
from .load_caption import CaptionTemplate

Precision = Annotated[float, Field(gt=0, le=1), Expected('a number above 0, up to 1')]


@TRANSFORMS.register_module()
@validated
class NameClasses:
    """Set ``text`` to the names of classes, joined by spaces, for :class:`.CaptionPrompts`.

    The names of the classes that are present in the image are the "oracle" of `TADP <https://arxiv.org/abs/2310.00031>`_:
    a caption that is exactly right, which shows what better captions could achieve. They are read from the label map,
    or from the boxes, so a test with them is no fair comparison with other methods. Names of all classes need no
    annotations.

    With ``precision`` and ``recall`` below 1, names are left out, and names of absent classes are added. The background
    is neither removed nor added. The choice depends on the seed and the name of the image, so an image always has the
    same text.

    Place it after the annotations are loaded, and before the image is cropped. A sample that has ``text`` already keeps
    it; only the template is applied.

    Required keys: ``img_path``, and ``gt_seg_map`` or ``gt_bboxes_labels`` if the classes must be present. Added key:
    ``text``.

    Args:
        classes (str | Sequence[str]): Class names in the order of the labels, or a data set, see
            :class:`.ClassPrompts`.
        present_only (bool): Name only classes that are present. Defaults to True.
        precision (float): Share of the names that are right. Defaults to 1.
        recall (float): Share of the present classes that are named. Defaults to 1.
        template (str): What becomes of the text, see :class:`.LoadCaption`. Defaults to ``'{}'``.
        seed (int): Seed of the choice. Defaults to 0.

    Raises:
        ValueError: When building: an argument has an invalid value, or ``precision`` or ``recall`` is below 1 without
            ``present_only``. Later: a sample has no annotations.
    """

    def __init__(
        self,
        classes: ClassNames,
        present_only: bool = True,
        precision: Precision = 1.0,
        recall: Fraction = 1.0,
        template: CaptionTemplate = '{}',
        seed: NonNegativeInt = 0,
    ):
        self.classes = [name.replace('_', ' ') for name in resolve_classes(classes)]
        if not present_only and min(precision, recall) < 1:
            raise ValueError(
                f'precision={precision} and recall={recall} need present_only=True: expected 1 for all class names'
            )
        self.present_only = present_only
        self.precision = precision
        self.recall = recall
        self.template = template
        self.seed = seed

    def __call__(self, results: dict) -> dict:
        """Set the text."""
        text = results['text'] if 'text' in results else self._name(results)
        return dict(results, text=self.template.replace('{}', text))

    def _name(self, results: dict) -> str:
        if not self.present_only:
            return ' '.join(self.classes)
        present = present_classes(self._labels(results), len(self.classes))
        rng = random.Random(zlib.crc32(f'{self.seed} {results["img_path"]}'.encode()))
        return class_text(self._change(present, rng), self.classes)

    def _labels(self, results: dict) -> np.ndarray:
        for key in ('gt_seg_map', 'gt_bboxes_labels'):
            if key in results:
                return results[key]
        raise ValueError(
            f'{results.get("img_path")}: NameClasses needs gt_seg_map or gt_bboxes_labels. Place it after '
            'LoadAnnotations; for an image of your own, give a text'
        )

    def _change(self, present: list[int], rng: random.Random) -> list[int]:
        background = [index for index in present if self.classes[index] == BACKGROUND]
        right = [index for index in present if index not in background]
        kept = rng.sample(right, round(self.recall * len(right)))
        absent = [index for index, name in enumerate(self.classes) if name != BACKGROUND and index not in present]
        wrong = round(len(kept) * (1 - self.precision) / self.precision)
        return background + kept + rng.sample(absent, min(wrong, len(absent)))
