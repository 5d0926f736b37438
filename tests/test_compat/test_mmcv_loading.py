import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

import mmdiffperc.seg  # noqa: F401


def test_empty_file_is_named(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.touch()
    with pytest.raises(ValueError, match=r'photo\.jpg: empty'):
        LoadImageFromFile()(dict(img_path=str(path)))
    assert LoadImageFromFile(ignore_empty=True)(dict(img_path=str(path))) is None


def test_images_are_loaded_as_before(tmp_path):
    Image.new('RGB', (4, 3), (1, 2, 3)).save(tmp_path / 'a.png')
    loaded = LoadImageFromFile()(dict(img_path=str(tmp_path / 'a.png')))
    np.testing.assert_array_equal(loaded['img'], np.full((3, 4, 3), (3, 2, 1)))
