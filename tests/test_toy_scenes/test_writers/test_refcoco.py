from pathlib import Path

import pytest
from mmdet.datasets import RefCocoDataset

from mmdiffperc.toy_scenes.writers import make_sample

PIPELINE = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_mask=True, with_bbox=False, with_seg=False, with_label=False),
]


def read(root, split):
    return RefCocoDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images/'),
        ann_file='refcoco/instances.json',
        split_file='refcoco/refs(unc).p',
        split=split,
        text_mode='original',
        pipeline=PIPELINE,
    )


def samples(spec, split):
    """Samples that belong to a split of RefCOCO's, by file name."""
    found = [
        make_sample(spec, 'train' if split == 'train' else 'val', index)
        for index in range(spec.num_train if split == 'train' else spec.num_val)
    ]
    if split != 'train':
        found = [one for one in found if (one.index % 2 == 0) == (split == 'val')]
    if split.startswith('test'):
        has_figure = [any(one.keypoints is not None for one in sample.rendering.instances) for sample in found]
        found = [sample for sample, figure in zip(found, has_figure, strict=True) if figure == (split == 'testA')]
    return {one.file_name: one for one in found}


@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
def test_refcoco_dataset_reads_it(toy_root, toy_spec, split):
    dataset, expected = read(toy_root, split), samples(toy_spec, split)
    assert len(dataset) == len(expected) > 0
    for data in dataset:
        sample = expected[Path(data['img_path']).name]
        assert (data['img'][..., ::-1] == sample.rendering.image).all()
        assert data['text'] == [sentence for _, sentence in sample.references]
        assert len(data['text']) == len(data['gt_masks']) >= 6
        for mask, (index, _) in zip(data['gt_masks'].masks, sample.references, strict=True):
            assert (mask == (sample.rendering.instance_map == index + 1)).all()
