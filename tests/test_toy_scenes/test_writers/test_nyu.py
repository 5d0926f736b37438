import cv2
import numpy as np
import pytest
from mmseg.datasets import NYUDataset

from mmdiffperc.toy_scenes.writers import make_sample

PIPELINE = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadDepthAnnotation', depth_rescale_factor=1e-3)]


@pytest.mark.parametrize(('split', 'folder'), [('train', 'train'), ('val', 'test')])
def test_nyu_dataset_reads_it(toy_root, toy_spec, split, folder):
    dataset = NYUDataset(
        data_root=str(toy_root / 'nyu'),
        img_suffix='.png',
        pipeline=PIPELINE,
        data_prefix=dict(img_path=f'images/{folder}', depth_map_path=f'annotations/{folder}'),
    )
    samples = {
        sample.file_name: sample
        for sample in (make_sample(toy_spec, split, index) for index in range(getattr(toy_spec, f'num_{split}')))
    }
    assert len(dataset) == len(samples)
    for data in dataset:
        truth = samples[data['img_path'].rsplit('/', 1)[1]].rendering
        assert dataset.metainfo['classes'][data['category_id']] == truth.scene.category
        assert (cv2.cvtColor(data['img'], cv2.COLOR_BGR2RGB) == truth.image).all()
        assert np.allclose(data['gt_depth_map'], truth.depth, atol=5.1e-4)
        assert 1 < data['gt_depth_map'].min() and data['gt_depth_map'].max() < 10
