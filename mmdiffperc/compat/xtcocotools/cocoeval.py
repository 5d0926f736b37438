"""Object keypoint similarity for skeletons other than COCO's, for crowds and for whole bodies."""

import contextlib
import io
import warnings

import numpy as np
from pycocotools.cocoeval import COCOeval as CocoEvaluator

from .coco import COCO

FIELDS = {
    'keypoints': ('keypoints',),
    'keypoints_crowd': ('keypoints',),
    'keypoints_body': ('keypoints',),
    'keypoints_foot': ('foot_kpts',),
    'keypoints_face': ('face_kpts',),
    'keypoints_lefthand': ('lefthand_kpts',),
    'keypoints_righthand': ('righthand_kpts',),
    'keypoints_wholebody': ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts'),
}
WITHOUT_OWN_SCORE = {'keypoints', 'keypoints_crowd', 'keypoints_body'}
# Share of the box that a person covers, if the annotation has no area.
AREA_OF_BOX = 0.53
# CrowdPose calls images with a crowd index below the first easy, below the second medium, and the others hard.
CROWD_INDEX_LIMITS = (0.2, 0.8)


class COCOeval(CocoEvaluator):
    """Average precision and recall of keypoints, with the arguments and the results of xtcocotools' class.

    The annotations are translated into those of plain COCO keypoints, which pycocotools then evaluates.

    Args:
        cocoGt (COCO): Annotations. ``keypoints_crowd`` reads the ``crowdIndex`` of its images.
        cocoDt (COCO): Results, as ``cocoGt.loadRes`` returns them.
        iouType (str): A key of ``FIELDS``.
        sigmas (ndarray, optional): ``(K,)`` spread of each keypoint relative to the object's size; COCO's by default.
        use_area (bool): Use the annotated area as the object's size, instead of 0.53 times the area of its box.

    Raises:
        ValueError: ``iouType`` is unknown.
    """

    def __init__(self, cocoGt, cocoDt, iouType='keypoints', sigmas=None, use_area=True):
        if iouType not in FIELDS:
            raise ValueError(f'iouType must be one of {", ".join(FIELDS)}; got {iouType!r}')
        truths = [_truth(annotation, iouType, use_area) for annotation in cocoGt.dataset['annotations']]
        super().__init__(_index(cocoGt, truths), _index(cocoDt, _results(cocoDt, iouType)), 'keypoints')
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)
        self._crowd = iouType == 'keypoints_crowd'

    def summarize(self):
        """Print the measures and keep them in ``stats``.

        ``(10,)``: AP, AP 0.5, AP 0.75, AP medium, AP large, then AR likewise. For crowds ``(9,)``: AP, AP 0.5, AP 0.75,
        AR, AR 0.5, AR 0.75, then AP of easy, medium and hard images, rounded to four digits.
        """
        super().summarize()
        if self._crowd:
            self.stats = np.concatenate([self.stats[[0, 1, 2, 5, 6, 7]], self._precision_by_crowding()])

    def _precision_by_crowding(self):
        of_all_images = self.params.imgIds, self.evalImgs, self.eval
        images = {0: [], 1: [], 2: []}
        for image in self.cocoGt.dataset['images']:
            images[int(np.digitize(image['crowdIndex'], CROWD_INDEX_LIMITS))].append(image['id'])
        precision = [self._precision(image_ids) for image_ids in images.values()]
        self.params.imgIds, self.evalImgs, self.eval = of_all_images
        return precision

    def _precision(self, image_ids):
        self.params.imgIds = image_ids
        with contextlib.redirect_stdout(io.StringIO()):
            self.evaluate()
            self.accumulate()
        return round(np.mean(self.eval['precision'][:, :, :, 0, :]), 4)


def _truth(annotation, kind, use_area):
    keypoints = _keypoints(annotation, kind)
    translated = annotation | {
        'id': annotation['id'] + 1,  # pycocotools treats a match with annotation 0 as no match
        'keypoints': keypoints,
        # CrowdPose counts only the visible ones.
        'num_keypoints': annotation['num_keypoints'] if kind == 'keypoints_crowd' else _count(keypoints),
    }
    if not use_area:
        _, _, width, height = annotation['bbox']
        translated['area'] = width * height * AREA_OF_BOX
    return translated


def _results(results, kind):
    score = 'score' if kind in WITHOUT_OWN_SCORE else kind.replace('keypoints_', '') + '_score'
    annotations = results.dataset['annotations']
    if any(score not in annotation for annotation in annotations):
        warnings.warn(f"Results have no '{score}'; their 'score' is used instead.", stacklevel=3)
    translated = [
        annotation | {'keypoints': _keypoints(annotation, kind), 'score': annotation.get(score, annotation['score'])}
        for annotation in annotations
    ]
    return [annotation for annotation in translated if _count(annotation['keypoints'])]


def _keypoints(annotation, kind):
    return [value for field in FIELDS[kind] for value in annotation[field]]


def _count(keypoints):
    return np.count_nonzero(np.array(keypoints[2::3]) > 0)


def _index(coco, annotations):
    index = COCO()
    index.dataset = coco.dataset | {'annotations': annotations}
    index.createIndex()
    return index
