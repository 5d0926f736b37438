import os

import cv2
import numpy as np
import pytest

from mmdiffperc.toy_scenes.writers import DatasetSpec, make_sample
from mmdiffperc.toy_scenes.writers.base import encode_png, image_path, share_image, to_uint8, write_png


@pytest.mark.parametrize(('dtype', 'shape'), [(np.uint8, (5, 7, 3)), (np.uint8, (5, 7)), (np.uint16, (5, 7))])
def test_png_keeps_every_value(dtype, shape):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    read = cv2.imdecode(np.frombuffer(encode_png(array), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype == dtype and (read[..., ::-1] if read.ndim == 3 else read).tolist() == array.tolist()


def test_image_is_copied_where_it_cannot_be_linked(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError('Operation not supported')

    sample = make_sample(DatasetSpec(1, 1, 32), 'val', 0)
    write_png(image_path(tmp_path, sample), sample.rendering.image)
    monkeypatch.setattr(os, 'link', no_links)
    share_image(tmp_path, sample, 'other/place')
    copy = tmp_path / 'other/place' / sample.file_name
    assert copy.read_bytes() == image_path(tmp_path, sample).read_bytes()
    assert not copy.samefile(image_path(tmp_path, sample))


def test_quantisation_rounds_and_clips():
    assert to_uint8(np.array([-0.5, 0.0, 0.499, 1.0, 3.0])).tolist() == [0, 0, 127, 255, 255]
