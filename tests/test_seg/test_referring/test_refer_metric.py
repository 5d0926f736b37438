import cv2
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdiffperc.seg.referring.refer_metric import ReferringSegMetric


def sample(pred, gt, **meta):
    """Masks as a segmentor of mmseg returns them and its pipeline packs them."""
    return SegDataSample(
        metainfo=dict(img_path='folder/a.jpg') | meta,
        pred_sem_seg=PixelData(data=torch.tensor(pred)[None]),
        gt_sem_seg=PixelData(data=torch.tensor(gt)[None]),
    )


def overlap(intersection, union, size=12):
    """Masks of so many pixels in common and in all."""
    pred = [1] * union + [0] * (size - union)
    gt = [1] * intersection + [0] * (size - intersection)
    return sample([pred], [gt])


def evaluate(samples, **arguments):
    init_default_scope('mmseg')
    evaluator = Evaluator([dict(type='ReferringSegMetric', **arguments)])
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_by_hand():
    """IoU 1/4 of 4 pixels, 6/10, 1 of 2."""
    results = evaluate([overlap(1, 4), overlap(6, 10), overlap(2, 2)])
    assert results == pytest.approx(
        {
            'oIoU': 100 * 9 / 16,
            'mIoU': 100 * (0.25 + 0.6 + 1) / 3,
            'precision@0.5': 200 / 3,
            'precision@0.6': 200 / 3,
            'precision@0.7': 100 / 3,
            'precision@0.8': 100 / 3,
            'precision@0.9': 100 / 3,
        }
    )


def test_overlap_of_masks_that_differ_both_ways():
    results = evaluate([sample([[1, 1, 0], [1, 0, 0]], [[0, 1, 1], [1, 1, 0]])])
    assert results['oIoU'] == results['mIoU'] == pytest.approx(100 * 2 / 5)


def test_other_thresholds_and_prefix():
    results = evaluate([overlap(1, 4)], thresholds=[0.25], prefix='refer')
    assert results == {'refer/oIoU': 25, 'refer/mIoU': 25, 'refer/precision@0.25': 100}
    with pytest.raises(ValueError, match=r'thresholds=\[50\].*IoUs.*\(0, 1\]'):
        ReferringSegMetric(thresholds=[50])


def test_size_that_differs():
    with pytest.raises(ValueError, match='a.jpg.*mask.*1 x 2.*2 x 1.*EvaluateAtInputSize'):
        evaluate([sample([[1, 0]], [[1], [0]])])


def test_masks_are_written(tmp_path):
    images = [sample([[1, 0]], [[1, 1]], ref_id=7, sentence_number=number) for number in (0, 2)]
    results = evaluate(images, output_dir=str(tmp_path / 'new' / 'out'), keep_results=True)
    assert results['oIoU'] == 50
    assert sorted(path.name for path in (tmp_path / 'new' / 'out').iterdir()) == ['a_7_0.png', 'a_7_2.png']
    written = cv2.imread(str(tmp_path / 'new' / 'out' / 'a_7_2.png'), cv2.IMREAD_UNCHANGED)
    assert written.tolist() == [[255, 0]] and written.dtype == 'uint8'


def test_masks_that_cannot_be_named(tmp_path):
    with pytest.raises(ValueError, match='sentence_number.*meta_keys.*PackSegInputs'):
        evaluate([sample([[1]], [[1]], ref_id=7)], output_dir=str(tmp_path))


def evaluate_three_on_two_processes(rank, folder):
    """The sampler gives one process sentences 0 and 2, and the other 1 and again 0, so that both have two."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    overlaps = ((1, 4), (2, 2)), ((6, 10), (1, 4))
    metric = ReferringSegMetric(collect_dir=str(folder / 'results'))
    metric.process({}, [overlap(*one).to_dict() for one in overlaps[rank]])
    results = metric.evaluate(3)
    (folder / str(rank)).write_text(f'{results["oIoU"]} {results["mIoU"]} {results["precision@0.5"]}')
    dist.destroy_process_group()


def test_sentences_of_two_processes(tmp_path):
    mp.start_processes(evaluate_three_on_two_processes, (tmp_path,), nprocs=2, start_method='fork')
    for rank in '01':
        found = [float(word) for word in (tmp_path / rank).read_text().split()]
        assert found == pytest.approx([100 * 9 / 16, 100 * 1.85 / 3, 200 / 3])
