"""Detect objects."""

import argparse

import numpy as np
import pycocotools.mask
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdiffperc.inference.captioned import CaptionedInferencer
from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.inputs import Frame
from mmdiffperc.inference.writers import encode_json
from mmdiffperc_cli.options import add_shared


class DetectionInferencer(CaptionedInferencer):
    """Detect objects with one of mmdet's detectors, and segment them if the model does instance segmentation.

    The model, its pipeline and the drawing are mmdet's. (mmdet's own inferencer reads no videos, and writes images of
    the same name from several folders to one file.)

    A prediction is a dict of arrays, sorted by score: ``boxes`` ``(N, 4)``, x1, y1, x2, y2 in pixels; ``labels``
    ``(N,)``, class numbers; ``scores`` ``(N,)`` in [0, 1]; and, for instance segmentation, ``masks`` ``(N, H, W)``,
    boolean. For each image, ``NAME_objects.json`` lists the objects, with masks in COCO's run-length encoding, and
    ``NAME_objects.png`` shows them.

    Options of a call:

    - ``text`` (str, optional): A caption, see :class:`.CaptionedInferencer`.
    - ``threshold`` (float): The lowest score of an object in the picture. Defaults to 0.3.

    Raises:
        ValueError: The model does panoptic segmentation only.
    """

    visualize_kwargs = {'threshold'}
    endings = ('_objects.json',)
    picture_ending = '_objects'

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        fusion_head = getattr(self.model, 'panoptic_fusion_head', None)
        if fusion_head is not None and not fusion_head.test_cfg.get('instance_on'):
            raise ValueError(
                f'{type(self.model).__name__} predicts panoptic maps, which are not supported: expected a model that '
                'predicts boxes. MaskFormer and Mask2Former predict instances with model.test_cfg.instance_on=True'
            )

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add ``--text`` and ``--threshold``."""
        super().add_options(parser)
        add_shared(parser, '--threshold', 'of an object; default: 0.3')

    @property
    def controls(self) -> tuple[Control, ...]:
        """The caption, if the model reads one, and the threshold."""
        return (
            *super().controls,
            Control('threshold', 'score', 'Threshold', 'The lowest score of an object in the picture.', 0.3),
        )

    def to_prediction(self, result: DetDataSample, frame: Frame) -> dict:
        """Return boxes, labels, scores and masks."""
        found = result.pred_instances.cpu()
        boxes, scores = found.bboxes.float().numpy(), found.scores.float().numpy()
        masks = dict(masks=np.asarray(found.masks)) if 'masks' in found else {}
        return dict(boxes=boxes, labels=found.labels.numpy(), scores=scores) | masks

    def draw(self, image: np.ndarray, prediction: dict, threshold: float = 0.3) -> np.ndarray:
        """Draw boxes, names, scores and masks."""
        others = {name: array for name, array in prediction.items() if name != 'boxes'}
        sample = DetDataSample(pred_instances=InstanceData(bboxes=prediction['boxes'], **others))
        self.visualizer.add_datasample('', image[..., ::-1], sample, draw_gt=False, pred_score_thr=threshold)
        return self.visualizer.get_image()

    def encode(self, prediction: dict) -> dict[str, bytes]:
        """List the objects in JSON."""
        rows = zip(*prediction.values(), strict=True)
        objects = [self._in_plain_numbers(**dict(zip(prediction, row, strict=True))) for row in rows]
        return {'_objects.json': encode_json(dict(objects=objects))}

    def summarize(self, prediction: dict) -> str:
        """Return the number of objects and the five with the highest scores."""
        pairs = zip(prediction['labels'], prediction['scores'], strict=True)
        best = ', '.join(f'{self.classes[label]} {score:.2f}' for label, score in list(pairs)[:5])
        return f'{len(prediction["scores"])} objects: {best}'

    def _in_plain_numbers(self, boxes, labels, scores, masks=None):
        plain = dict(name=self.classes[labels], label=int(labels), score=float(scores), box=boxes.tolist())
        if masks is not None:
            code = pycocotools.mask.encode(np.asfortranarray(masks, np.uint8))
            plain['mask'] = dict(size=code['size'], counts=code['counts'].decode())
        return plain

    def _init_visualizer(self, cfg: Config) -> DetLocalVisualizer:
        visualizer = DetLocalVisualizer()
        visualizer.dataset_meta = self.dataset_meta
        return visualizer
