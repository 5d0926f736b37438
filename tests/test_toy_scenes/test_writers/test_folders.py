import cv2
import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset, BaseSegDataset, NYUDataset

from mmdiffperc.toy_scenes import TOY_CLASSES, TOY_PALETTE
from mmdiffperc.toy_scenes.writers import make_sample

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
