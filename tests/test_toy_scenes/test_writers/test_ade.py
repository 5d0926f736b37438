import cv2
import pytest
from mmseg.datasets import ADE20KDataset, BaseSegDataset

from mmdiffperc.toy_scenes import TOY_CLASSES, TOY_PALETTE
from mmdiffperc.toy_scenes.writers import make_sample

PIPELINE = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]

TOY = dict(metainfo=dict(classes=TOY_CLASSES, palette=TOY_PALETTE), reduce_zero_label=True)


@pytest.mark.parametrize(('split', 'folder'), [('train', 'training'), ('val', 'validation')])
@pytest.mark.parametrize(('dataset_type', 'options'), [(BaseSegDataset, TOY), (ADE20KDataset, {})])
def test_mmseg_reads_it(toy_root, toy_spec, dataset_type, options, split, folder):
    dataset = dataset_type(
        data_root=str(toy_root / 'ade'),
        img_suffix='.png',
        pipeline=PIPELINE,
        **options,
        data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}'),
    )
    samples = {
        sample.file_name: sample
        for sample in (make_sample(toy_spec, split, index) for index in range(getattr(toy_spec, f'num_{split}')))
    }
    assert len(dataset) == len(samples)
    for data in dataset:
        truth = samples[data['img_path'].rsplit('/', 1)[1]].rendering
        assert (cv2.cvtColor(data['img'], cv2.COLOR_BGR2RGB) == truth.image).all()
        assert (data['gt_seg_map'] == truth.semantic).all()
