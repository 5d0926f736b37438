"""mmpose evaluates with pycocotools where xtcocotools cannot be installed, and gets the same numbers."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from child_processes import OPENMMLAB, exit_code, forget, fork

from mmdiffperc.compat.xtcocotools import mask
from mmdiffperc.compat.xtcocotools.coco import COCO
from mmdiffperc.compat.xtcocotools.cocoeval import FIELDS, COCOeval

PART_SIZES = {'keypoints': 5, 'foot_kpts': 2, 'face_kpts': 3, 'lefthand_kpts': 4, 'righthand_kpts': 4}
# What xtcocotools 1.14.3 measures for `random_people`: kind -> use_area -> measures.
MEASURES = json.loads(Path(__file__).with_name('xtcocotools_measures.json').read_text())
CROWD_INDEX = [0.1, 0.2, 0.5, 0.8, 0.9, 0.0, 0.3]


def random_people(seed: int = 3):
    """Annotations and results of 7 images of 1 to 4 people, with crowds, invisible people and a first id of 0."""
    rng = np.random.default_rng(seed)
    images = [{'id': 10 + i, 'width': 90, 'height': 70, 'crowdIndex': crowd} for i, crowd in enumerate(CROWD_INDEX)]
    annotations, results = [], []
    for image in images:
        for _ in range(rng.integers(1, 5)):
            corner, size = rng.uniform(0, 40, 2), rng.uniform(8, 260, 2)
            visible = rng.random() > 0.15
            person = {
                'id': len(annotations),
                'image_id': image['id'],
                'category_id': 1,
                'bbox': [*corner.tolist(), *size.tolist()],
                'area': float(size.prod() * rng.uniform(0.3, 0.9)),
            }
            if rng.random() < 0.2:
                person['iscrowd'] = 1
            result = {'image_id': image['id'], 'category_id': 1, 'score': float(rng.random())}
            for part, count in PART_SIZES.items():
                points = corner + size * rng.random((count, 2))
                visibility = rng.integers(0, 3, count) * visible
                person[part] = np.column_stack([points, visibility]).ravel().tolist()
                guess = points + rng.normal(0, size * 0.03, (count, 2))
                seen = np.ones(count) if rng.random() > 0.1 else np.zeros(count)
                result[part] = np.column_stack([guess, seen]).ravel().tolist()
                if part in ('foot_kpts', 'face_kpts'):
                    result[part.replace('kpts', 'score')] = float(rng.random())
            person['num_keypoints'] = int(sum(v == 2 for v in person['keypoints'][2::3]))
            annotations.append(person)
            results.append(result)
            if rng.random() < 0.4:
                results.append(result | {'score': float(rng.random())})
    dataset = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'person'}]}
    return dataset, results


def evaluate(coco, results, kind, use_area, evaluator=COCOeval):
    """The measures of one kind of keypoints, each keypoint with another sigma."""
    sizes = [PART_SIZES[field] for field in FIELDS[kind]]
    sigmas = 0.03 + 0.01 * np.arange(sum(sizes))
    evaluation = evaluator(coco, coco.loadRes(results), kind, sigmas, use_area=use_area)
    evaluation.params.useSegm = None
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize('use_area', [True, False])
@pytest.mark.parametrize('kind', FIELDS)
@pytest.mark.filterwarnings('ignore:Results have no')
def test_measures_equal_those_of_xtcocotools(kind, use_area, tmp_path):
    dataset, results = random_people()
    annotation_file, result_file = tmp_path / 'people.json', tmp_path / 'results.json'
    annotation_file.write_text(json.dumps(dataset))
    result_file.write_text(json.dumps(results))
    stats = evaluate(COCO(str(annotation_file)), str(result_file), kind, use_area)
    np.testing.assert_allclose(stats, MEASURES[kind][str(use_area)], rtol=0, atol=1e-12)


def test_one_keypoint_by_hand():
    """One keypoint, off by the sigma-scaled size: similarity exp(-0.5) = 0.607, above 3 of the 10 thresholds."""
    size, sigma = 400.0, 0.1
    offset = 2 * sigma * size**0.5  # exp(-offset^2 / (2 (2 sigma)^2 area))
    person = {'id': 0, 'image_id': 4, 'category_id': 1, 'bbox': [0, 0, 40, 30], 'area': size, 'keypoints': [9, 8, 2]}
    coco = COCO()
    coco.dataset = {'images': [{'id': 4}], 'annotations': [person], 'categories': [{'id': 1}]}
    coco.createIndex()
    results = [{'image_id': 4, 'category_id': 1, 'score': 1.0, 'keypoints': [9 + offset, 8, 1]}]
    evaluation = COCOeval(coco, coco.loadRes(results), 'keypoints', [sigma])
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, ap50, ap75 = evaluation.stats[:3]
    assert (ap, ap50, ap75) == pytest.approx((0.3, 1, 0))


def test_no_results_are_a_precision_of_zero():
    dataset, _ = random_people()
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    assert evaluate(coco, [], 'keypoints', True)[0] == 0


def test_a_result_without_its_own_score_is_named():
    dataset, results = random_people()
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    with pytest.warns(UserWarning, match='lefthand_score'):
        COCOeval(coco, coco.loadRes(results), 'keypoints_lefthand')


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="keypoints_wholebody.*'bbox'"):
        COCOeval(COCO(), COCO(), 'bbox')


def test_masks_are_those_of_pycocotools():
    polygon = [[0, 0, 0, 2, 3, 2, 3, 0]]
    assert mask.decode(mask.merge(mask.frPyObjects(polygon, 4, 5))).sum() == 6


def test_mmpose_finds_it_where_xtcocotools_is_missing():
    def install_and_look() -> int:
        forget(*OPENMMLAB)
        sys.modules['xtcocotools'] = None
        import_module('mmdiffperc')
        coco_metric = import_module('mmpose.evaluation.metrics.coco_metric')
        found = Path(sys.modules[coco_metric.COCOeval.__module__].__file__)
        return int(found.parts[-4:] != ('mmdiffperc', 'compat', 'xtcocotools', 'cocoeval.py'))

    assert exit_code(fork(install_and_look)) == 0
