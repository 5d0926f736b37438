"""Measures of masks: of classes, from a confusion matrix, and of single objects, from their overlaps."""

from collections.abc import Sequence

import numpy as np

from .arrays import Array, library_of
from .images import mean_of_defined

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)  # of the IoU


def confusion_matrix(
    pred: Array, truth: Array, num_classes: int, ignore_index: int = 255, name: str | None = None
) -> np.ndarray:
    """Count pixels by their true and predicted classes.

    Args:
        pred (np.ndarray | torch.Tensor): Predicted classes ``(H, W)``, integers.
        truth (np.ndarray | torch.Tensor): True classes ``(H, W)``, integers.
        num_classes (int): Number of classes.
        ignore_index (int): Label of the true pixels that are not counted. Defaults to 255.
        name (str, optional): Name of the image, for messages.

    Returns:
        np.ndarray: Counts ``(num_classes, num_classes)``: true by predicted class.

    Raises:
        ValueError: The maps differ in size, or a counted pixel has another class.
    """
    if pred.shape != truth.shape:
        raise ValueError(
            f'{name}: the prediction is {tuple(pred.shape)}, the truth {tuple(truth.shape)} (height, width). A '
            'prediction has the size of its image before Resize: load the truth after Resize'
        )
    library, counted = library_of(truth), truth != ignore_index
    pred, truth = pred[counted], truth[counted]
    for what, labels in (('prediction', pred), ('truth', truth)):
        if unknown := [label for label in library.unique(labels).tolist() if not 0 <= label < num_classes]:
            raise ValueError(
                f'{name}: expected classes from 0 to {num_classes - 1}, but the {what} has {unknown}: check the number '
                f'of classes, reduce_zero_label and ignore_index={ignore_index}'
            )
    counts = library.bincount(truth * num_classes + pred, minlength=num_classes**2)
    return np.asarray(counts.tolist()).reshape(num_classes, num_classes)


def class_measures(confusion: np.ndarray, per_class: bool = False) -> dict[str, float]:
    """Compute accuracies and IoUs in per cent.

    Args:
        confusion (np.ndarray): Counts of pixels, see :func:`confusion_matrix`.
        per_class (bool): Also return ``IoU.<class>`` and ``Acc.<class>``. Defaults to False.

    Returns:
        dict[str, float]: ``aAcc``, the share of correct pixels, and ``mIoU`` and ``mAcc``, the means over classes. The
        measures of a class that is neither predicted nor true are NaN, and the means exclude them.
    """
    right, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    iou, accuracy = _percentage(right, true + predicted - right), _percentage(right, true)
    measures = dict(
        aAcc=float(_percentage(right.sum(), true.sum())), mIoU=mean_of_defined(iou), mAcc=mean_of_defined(accuracy)
    )
    if per_class:
        measures |= {f'IoU.{index}': float(value) for index, value in enumerate(iou)}
        measures |= {f'Acc.{index}': float(value) for index, value in enumerate(accuracy)}
    return measures


def object_measures(overlaps: Sequence[tuple[int, int]], thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """Compute the measures of LAVT (Yang et al., CVPR 2022) over objects, in per cent.

    Args:
        overlaps (Sequence[tuple[int, int]]): Pixels in the intersection and in the union of the predicted and the true
            mask of each object.
        thresholds (Sequence[float]): The X of ``precision@X``.

    Returns:
        dict[str, float]: ``oIoU``, the sum of all intersections divided by the sum of all unions; ``mIoU``, the mean
        IoU; and ``precision@X``, the share of objects whose IoU is at least X. The IoU of an empty union is 0.
    """
    intersections, unions = np.array(overlaps, np.int64).reshape(-1, 2).T
    ious = intersections / unions.clip(1)  # an empty union has an empty intersection
    measures = dict(oIoU=intersections.sum() / unions.sum().clip(1), mIoU=ious.mean())
    measures |= {f'precision@{threshold}': (ious >= threshold).mean() for threshold in thresholds}
    return {name: 100 * float(value) for name, value in measures.items()}


def _percentage(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return 100 * part / np.where(whole > 0, whole, np.nan)
