import json

import numpy as np
import pytest
from PIL import Image

from mmdiffperc.inference.inputs import find_sources, read_frames


def stems(inputs):
    return [str(source.stem) for source in find_sources(inputs)]


def test_folder_pattern_and_list(photos, image):
    assert stems(photos) == ['bed', 'door']
    assert stems(photos / 'bed.png') == ['bed']
    assert stems([str(photos / 'bed.png'), image, Image.fromarray(image)]) == ['bed', '000001', '000002']
    (photos / 'attic').mkdir()
    (photos / 'attic' / 'bed.png').write_bytes((photos / 'bed.png').read_bytes())
    assert stems(f'{photos}/*.JPG') == ['door']
    assert stems(f'{photos}/**/*.png') == ['attic/bed', 'bed']  # folders below the fixed part are kept


def test_captions_and_subfolders_of_metadata(photos):
    (photos / 'attic').mkdir()
    (photos / 'bed.png').rename(photos / 'attic' / 'bed.png')
    lines = [dict(file_name='door.JPG', text='a door'), dict(file_name='attic/bed.png', text=['a bed', 'a room'])]
    (photos / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    assert [(str(source.stem), source.caption) for source in find_sources(photos)] == [
        ('attic/bed', 'a bed'),
        ('door', 'a door'),
    ]


def test_what_is_no_input(photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='empty'):
        find_sources(tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match=r'\*\.tif'):
        find_sources(f'{photos}/*.tif')
    with pytest.raises(TypeError, match='NoneType'):
        find_sources(None)


def test_video(video, frames):
    (source,) = find_sources(video)
    assert source.is_video and source.num_frames == len(frames)
    read = list(read_frames(source))
    assert [frame.index for frame in read] == [0, 1, 2]
    for frame, pixels in zip(read, frames, strict=True):
        assert abs(frame.pixels.astype(int) - pixels).mean() < 5  # Motion JPEG loses a little


def test_what_is_no_video(tmp_path):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    (source,) = find_sources(tmp_path / 'bad.mp4')
    assert source.num_frames == 0
    with pytest.raises(ValueError, match='bad.mp4.*empty, damaged'):
        list(read_frames(source))
    (source,) = find_sources(tmp_path / 'absent.mp4')
    with pytest.raises(FileNotFoundError, match='absent.mp4'):
        list(read_frames(source))


def test_array(image):
    (source,) = find_sources(image)
    (frame,) = read_frames(source)
    np.testing.assert_array_equal(frame.pixels, image)
    assert not source.is_video and source.num_frames == 1
