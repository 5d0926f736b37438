import cv2
import numpy as np
import pytest
import torch
from mmseg.datasets import ADE20KDataset, BaseSegDataset, NYUDataset
from mmseg.evaluation import IoUMetric

from mmdiffperc.evaluation.depth import is_compared
from mmdiffperc.seg import CheckedNYUDataset, ToyScenesDataset
from mmdiffperc.toy_scenes import TOY_CLASSES, TOY_PALETTE
from mmdiffperc.toy_scenes.writers import DatasetSpec, make_sample, write_dataset

LOAD_LABELS = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
LOAD_DEPTH = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadDepthAnnotation', depth_rescale_factor=1e-3)]
TOY = dict(metainfo=dict(classes=TOY_CLASSES, palette=TOY_PALETTE), reduce_zero_label=True)


def with_truth(dataset, spec, split):
    """Each item with the rendering that it was written from; all of them, and images as rendered."""
    numbers = range(getattr(spec, f'num_{split}'))
    samples = {sample.file_name: sample for sample in (make_sample(spec, split, index) for index in numbers)}
    assert len(dataset) == len(samples)
    for data in dataset:
        truth = samples[data['img_path'].rsplit('/', 1)[1]].rendering
        assert (cv2.cvtColor(data['img'], cv2.COLOR_BGR2RGB) == truth.image).all()
        yield data, truth


@pytest.mark.parametrize(('split', 'folder'), [('train', 'training'), ('val', 'validation')])
@pytest.mark.parametrize(('dataset_type', 'options'), [(BaseSegDataset, TOY), (ADE20KDataset, {})])
def test_mmseg_reads_labels(toy_root, toy_spec, dataset_type, options, split, folder):
    dataset = dataset_type(
        data_root=str(toy_root / 'ade'),
        img_suffix='.png',
        pipeline=LOAD_LABELS,
        **options,
        data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}'),
    )
    for data, truth in with_truth(dataset, toy_spec, split):
        assert (data['gt_seg_map'] == truth.semantic).all()


@pytest.mark.parametrize(('split', 'folder'), [('train', 'train'), ('val', 'test')])
def test_mmseg_reads_depth(toy_root, toy_spec, split, folder):
    dataset = NYUDataset(
        data_root=str(toy_root / 'nyu'),
        img_suffix='.png',
        pipeline=LOAD_DEPTH,
        data_prefix=dict(img_path=f'images/{folder}', depth_map_path=f'annotations/{folder}'),
    )
    for data, truth in with_truth(dataset, toy_spec, split):
        assert dataset.metainfo['classes'][data['category_id']] == truth.scene.category
        assert np.allclose(data['gt_depth_map'], truth.depth, atol=5.1e-4)
        assert 1 < data['gt_depth_map'].min() and data['gt_depth_map'].max() < 10


@pytest.fixture(scope='module')
def outdoors(tmp_path_factory):
    """Domain c, as labels and as depth: the folder, and the renderings by file name."""
    spec = DatasetSpec(1, 3, 48, seed=2, formats=('ade_c', 'nyu_c'))
    write_dataset(root := tmp_path_factory.mktemp('outdoors'), spec)
    samples = [make_sample(spec, 'val', index, 'c') for index in range(3)]
    return root, {sample.file_name: sample.rendering for sample in samples}


def test_sky_and_scenery_are_ignored(outdoors):
    root, truths = outdoors
    folders = dict(img_path='images/validation', seg_map_path='annotations/validation')
    dataset = ToyScenesDataset(data_root=str(root / 'ade_c'), pipeline=LOAD_LABELS, data_prefix=folders)
    metric, ignored = IoUMetric(), 0
    metric.dataset_meta = dataset.metainfo
    for data in dataset:
        truth = truths[data['img_path'].rsplit('/', 1)[1]]
        assert (data['gt_seg_map'] == truth.semantic).all()
        ignored += (truth.semantic == metric.ignore_index).sum()
        # Nothing is predicted right but what is ignored.
        wrong = torch.tensor(np.where(truth.semantic == 255, 255, (truth.semantic + 1) % len(TOY_CLASSES)))
        label = dict(data=torch.tensor(data['gt_seg_map'].astype(np.int64))[None])
        metric.process({}, [dict(pred_sem_seg=dict(data=wrong[None]), gt_sem_seg=label)])
    intersection, union, *_ = map(sum, zip(*metric.results, strict=True))
    assert ignored > 500 and intersection.sum() == 0
    assert union.sum() == 2 * sum((truth.semantic != metric.ignore_index).sum() for truth in truths.values())


def test_depth_of_the_sky_does_not_count(outdoors):
    root, truths = outdoors
    dataset = CheckedNYUDataset(
        data_root=str(root / 'nyu_c'),
        img_suffix='.png',
        pipeline=LOAD_DEPTH,
        data_prefix=dict(img_path='images/test', depth_map_path='annotations/test'),
    )
    for data in dataset:
        truth = truths[data['img_path'].rsplit('/', 1)[1]]
        assert data['category_id'] == -1  # no scene of NYU
        assert np.allclose(data['gt_depth_map'], truth.depth, atol=5.1e-4)
        sky = truth.semantic == 255
        sky &= truth.depth == 0
        compared = is_compared(data['gt_depth_map'], 1e-3, 10.0)
        assert sky.any() and not compared[sky].any() and compared[(truth.depth > 1) & (truth.depth < 9.9)].all()
