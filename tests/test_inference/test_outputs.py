from pathlib import Path, PurePath

import numpy as np
import pytest

from mmdiffperc.inference.inputs import ImageSource, find_sources
from mmdiffperc.inference.outputs import OutputFolder

PICTURE = np.full((4, 6, 3), 7, np.uint8)


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / 'out', ('_a.json', '_b.png'), '_shown')


def names(path):
    return sorted(file.relative_to(path).as_posix() for file in path.rglob('*') if file.is_file())


def test_an_image(folder, image):
    source = ImageSource(image, PurePath('attic/bed'))
    assert not folder.is_done(source)
    with folder.open(source) as write:
        write(0, {'_a.json': b'{}', '_b.png': b'b'}, PICTURE)
    assert names(folder.folder) == ['attic/bed_a.json', 'attic/bed_b.png', 'attic/bed_shown.png']
    assert folder.is_done(source)
    (folder.folder / 'attic/bed_b.png').unlink()
    assert not folder.is_done(source)


def test_a_picture_of_the_task_replaces_the_usual_one(folder, image):
    with folder.open(ImageSource(image, PurePath('bed'))) as write:
        write(0, {'_shown.png': b'16 bits'}, PICTURE)
    assert (folder.folder / 'bed_shown.png').read_bytes() == b'16 bits'


def test_a_video_is_done_when_all_frames_are(folder, video):
    (source,) = find_sources(video)
    with pytest.raises(KeyboardInterrupt), folder.open(source) as write:
        write(0, {'_a.json': b'{}'}, PICTURE)
        raise KeyboardInterrupt
    assert names(folder.folder) == ['walk/000000_a.json'] and not folder.is_done(source)
    with folder.open(source) as write:
        for index in range(2):
            write(index, {'_a.json': b'{}'}, PICTURE)
    assert names(folder.folder) == ['walk/000000_a.json', 'walk/000001_a.json', 'walk_shown.mp4']
    assert folder.is_done(source)


def test_two_inputs_with_the_same_files(folder, photos):
    folder.check(find_sources(photos))
    with pytest.raises(ValueError, match=r'bed\.png.*bed\.png'):
        folder.check(find_sources([photos / 'bed.png', str(photos / 'bed.png')]))
    (photos / 'bed.jpg').touch()
    (photos / 'bed.new.png').touch()  # sorted between the two
    with pytest.raises(ValueError, match=r'bed\.jpg.*bed\.png'):
        folder.check(find_sources(photos))


def test_an_input_is_not_overwritten(photos):
    (photos / 'bed.png').rename(photos / 'bed_shown.png')
    (photos / 'bed.png').touch()
    with pytest.raises(ValueError, match=r'bed_shown\.png'):
        OutputFolder(Path(photos), (), '_shown').check(find_sources(photos))
