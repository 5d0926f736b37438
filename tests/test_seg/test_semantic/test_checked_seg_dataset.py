import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import mmdiffperc.seg  # noqa: F401


def test_labels_are_mapped_to_classes(tmp_path):
    """As the message about masks of 0 and 255 advises."""
    masks = [[0, 255]] * 2, [[255, 255]] * 2
    for index, mask in enumerate(masks):
        for folder, image in (('images', Image.new('RGB', (2, 2))), ('labels', Image.fromarray(np.uint8(mask)))):
            (tmp_path / folder).mkdir(exist_ok=True)
            image.save(tmp_path / folder / f'{index}.png')
    config = dict(
        type='CheckedSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        metainfo=dict(classes=['wall', 'crack']),
        pipeline=[dict(type='LoadAnnotations'), dict(type='CheckLabels', num_classes=2)],
    )
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match=r'label_map=\{255: 1\}'):
        DATASETS.build(config)
    dataset = DATASETS.build(config | dict(label_map={255: 1}))
    assert [sample['gt_seg_map'].tolist() for sample in dataset] == [[[0, 1]] * 2, [[1, 1]] * 2]
