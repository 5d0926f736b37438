import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image

from mmdiffperc.seg.referring.refer_transforms import EvaluateAtInputSize, LoadReferringMask

HEIGHT, WIDTH = 5, 8


# Column by column, as COCO counts: the object's rows 1 and 2 of columns 2 to 6, and one pixel more in column 6.
RUNS = dict(counts=[11, 2, 3, 2, 3, 2, 3, 2, 3, 3, 6], size=[HEIGHT, WIDTH])


@pytest.fixture
def mask():
    """The same as an array."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:3, 2:7] = mask[3, 6] = 1
    return mask


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[1, 1, 4, 3]], 'polygons'),
        (None, 'polygons.*None'),
        (dict(counts=[3, 4], size=[5, 8]), r'40 pixels.*\b7\b'),
        (dict(counts=[40], size=[5, 8]), 'empty'),
        ([[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]], 'empty'),
    ],
)
def test_segmentation_that_is_none(segmentation, message):
    results = dict(
        segmentation=segmentation, height=5, width=8, ori_shape=(5, 8), img_path='a.jpg', ref_id=3, seg_fields=[]
    )
    with pytest.raises(ValueError, match=f'a.jpg, ref 3.*{message}'):
        LoadReferringMask().transform(results)


def test_image_of_another_size():
    results = dict(segmentation=RUNS, height=5, width=8, ori_shape=(8, 5), img_path='a.jpg', ref_id=3)
    with pytest.raises(ValueError, match=r'a\.jpg.*8 x 5.*5 x 8.*color_ignore_orientation'):
        LoadReferringMask().transform(results)


@pytest.fixture
def image(tmp_path):
    """An image file, and its pixels as Pillow reads them."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'image.png')
    return tmp_path / 'image.png', Image.fromarray(pixels)


@pytest.fixture
def pipeline():
    """The pipeline of the configs at another size: 6 rows, 3 columns."""
    init_default_scope('mmseg')
    resize = dict(type='Resize', scale=(3, 6), keep_ratio=False, backend='pillow')
    return Compose(
        [
            dict(type='LoadImageFromFile'),
            dict(type='LoadReferringMask'),
            resize,
            dict(type='EvaluateAtInputSize'),
            dict(type='PackSegInputs', meta_keys=('ori_shape', 'img_shape', 'text')),
        ]
    )


def test_squashed_as_pillow_does_it(pipeline, image, mask):
    """The official pipeline resizes the image bilinearly with smoothing, and the mask by the nearest pixel."""
    path, pixels = image
    results = dict(img_path=str(path), segmentation=RUNS, height=5, width=8, text='it', seg_fields=[])
    packed = pipeline(results)
    expected = np.array(pixels.resize((3, 6), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(packed['inputs'].numpy()[::-1].transpose(1, 2, 0), expected)
    expected = np.array(Image.fromarray(mask).resize((3, 6), Image.Resampling.NEAREST))
    sample = packed['data_samples']
    np.testing.assert_array_equal(sample.gt_sem_seg.data[0], expected)
    assert 0 < expected.sum() < expected.size
    assert sample.ori_shape == sample.img_shape == (6, 3)
    assert sample.text == 'it'


def test_own_image_keeps_its_size(pipeline, image):
    packed = pipeline(dict(img_path=str(image[0]), text='it'))
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 6, 3)
    assert sample.ori_shape == (5, 8) and sample.img_shape == (6, 3)
    assert 'gt_sem_seg' not in sample


def test_registered_by_name(pipeline):
    assert isinstance(pipeline.transforms[1], LoadReferringMask)
    assert isinstance(pipeline.transforms[3], EvaluateAtInputSize)
