"""Evaluation of referring segmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from pydantic import Field

from mmdiffperc.evaluation.masks import THRESHOLDS, object_measures
from mmdiffperc.files import write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.validation import Expected, Listed, Location, validated

REFERRED = 1
FILE_KEYS = ('img_path', 'ref_id', 'sentence_number')
Thresholds = Annotated[Listed[Annotated[float, Field(gt=0, le=1)]], Expected('a list of IoUs in (0, 1]')]


@METRICS.register_module()
@validated
class ReferringSegMetric(BaseMetric):
    """Measures of LAVT (Yang et al., CVPR 2022) and VPD over sentences, in per cent.

    - ``oIoU``: the sum of the intersections of all sentences divided by the sum of their unions. Large objects have
      more weight.
    - ``mIoU``: the mean IoU of the sentences.
    - ``precision@X``: the share of sentences whose IoU is at least X.

    As in the official evaluation, the IoU of a sentence is 0 if prediction and truth are both empty. mmdet's
    ``RefSegMetric`` calls oIoU ``cIoU``, and has no precision.

    Args:
        thresholds (Sequence[float]): The X of ``precision@X``. Defaults to (0.5, 0.6, 0.7, 0.8, 0.9).
        output_dir (str, optional): Folder for the predicted masks, 255 on the object, at the size at which they are
            evaluated: ``<image>_<ref_id>_<index of the sentence>.png``. Default: no masks are written.
        keep_results (bool): Not used, because files in ``output_dir`` are never removed; mmseg's ``test.py --out DIR``
            sets it. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: a threshold is not in (0, 1]. When evaluating: prediction and truth differ in size,
            or the samples lack what the names of the masks consist of.
    """

    def __init__(
        self,
        thresholds: Thresholds = THRESHOLDS,
        output_dir: Location | None = None,
        keep_results: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.thresholds = thresholds
        self.output_dir = output_dir and Path(output_dir)

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Measure the predictions of one batch, and write them to ``output_dir`` if it is set.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Samples with ``pred_sem_seg`` and ``gt_sem_seg``, whose ``data`` are
                ``(1, H, W)``: 1 on the object.
        """
        # One result per sample: by their number, mmengine removes those that a sampler repeats to fill the last batch.
        self.results += [_intersection_and_union(sample) for sample in data_samples]
        if self.output_dir:
            for sample in data_samples:
                self._write(sample)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the measures over all sentences.

        Args:
            results (list[tuple[int, int]]): Intersection and union of every sentence, in pixels.

        Returns:
            dict[str, float]: ``oIoU``, ``mIoU`` and ``precision@X``.
        """
        return object_measures(results, self.thresholds)

    def _write(self, sample: dict):
        mask = 255 * (sample['pred_sem_seg']['data'][0] == REFERRED).cpu().numpy().astype(np.uint8)
        write_whole(self.output_dir / _file_name(sample), encode_png(mask))


def _file_name(sample: dict) -> str:
    if absent := [key for key in FILE_KEYS if key not in sample]:
        raise ValueError(
            f'Masks are named after {", ".join(FILE_KEYS)}; the samples lack {", ".join(absent)}: add this '
            'to meta_keys of PackSegInputs'
        )
    return f'{Path(sample["img_path"]).stem}_{sample["ref_id"]}_{sample["sentence_number"]}.png'


def _intersection_and_union(sample: dict) -> tuple[int, int]:
    pred, gt = (sample[key]['data'] == REFERRED for key in ('pred_sem_seg', 'gt_sem_seg'))
    if pred.shape != gt.shape:
        raise ValueError(
            f'{sample.get("img_path")}: the predicted mask is {_size(pred)}, the true one {_size(gt)} (height x '
            'width). Load the mask before Resize and put EvaluateAtInputSize after it, or load the mask after Resize'
        )
    gt = gt.to(pred.device)
    return int((pred & gt).sum()), int((pred | gt).sum())


def _size(mask) -> str:
    return ' x '.join(map(str, mask.shape[-2:]))
