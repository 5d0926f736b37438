import io
import json
import os
import pickle

import numpy as np
import pytest

from mmdiffperc.seg.refer_files import Instances, load_refs

REF = dict(ref_id=3, ann_id=20, image_id=7, category_id=2, split='train', sentences=[dict(raw='the left one')])
# As Python 2 wrote them: protocol 0, byte strings, long ints.
PYTHON_2 = (
    b"(lp0\n(dp1\nS'ref_id'\np2\nI3\nsS'ann_id'\np3\nL20L\nsS'image_id'\nI7\nsS'category_id'\nI2\nsS'split'\n"
    b"S'train'\nsS'sentences'\n(lp4\n(dp5\nS'raw'\nS'the caf\\xe9'\nsasa."
)


class Attack:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def write(tmp_path):
    def write(content, name='refs(unc).p'):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.fixture
def instances(write):
    """Two images, two objects."""
    content = dict(
        images=[dict(id=7, file_name='a.jpg'), dict(id=8, file_name='b.jpg')],
        annotations=[dict(id=20, image_id=7), dict(id=21, image_id=8)],
        categories=[dict(id=2, name='cat')],
        info={},
    )
    return Instances.load(write(json.dumps(content).encode(), 'instances.json'))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_refs_of_every_protocol(write, protocol):
    assert load_refs(write(pickle.dumps([REF, REF], protocol))) == [REF, REF]


def test_refs_of_python_2(write):
    assert load_refs(write(PYTHON_2)) == [REF | dict(sentences=[dict(raw='the café')])]


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_nothing_is_executed(write, tmp_path, protocol):
    path = write(pickle.dumps([REF, Attack(tmp_path / 'executed')], protocol))
    with pytest.raises(pickle.UnpicklingError, match=r'refs\(unc\)\.p was refused: it asks for `(posix|nt)\.mkdir`'):
        load_refs(path)
    assert not (tmp_path / 'executed').exists()
    pickle.load(io.BytesIO((tmp_path / 'refs(unc).p').read_bytes()))
    assert (tmp_path / 'executed').exists()


def test_classes_are_refused(write):
    with pytest.raises(pickle.UnpicklingError, match='numpy.*save it again with plain lists'):
        load_refs(write(pickle.dumps([REF | dict(ann_id=np.int64(20))])))


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', pickle.dumps([REF])[:-9]])
def test_damaged_file(write, content):
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p is damaged or no pickle'):
        load_refs(write(content))


@pytest.mark.parametrize('content', [[], {}, dict(images=[]), 'train'])
def test_no_list_of_refs(write, content):
    with pytest.raises(ValueError, match='expected a list of refs, got'):
        load_refs(write(pickle.dumps(content)))


@pytest.mark.parametrize(
    'change',
    [
        dict(ann_id=[20, 21]),
        dict(category_id=None),
        dict(split=1),
        dict(sentences='the left one'),
        dict(sentences=['the left one']),
        dict(sentences=[dict(raw=None)]),
        dict(sentences=[dict(sent='the left one')]),
    ],
)
def test_entry_that_is_no_ref(write, change):
    with pytest.raises(ValueError, match="entry 1 is no ref of RefCOCO's"):
        load_refs(write(pickle.dumps([REF, REF | change])))


@pytest.mark.parametrize('load', [load_refs, Instances.load])
def test_missing_file(tmp_path, load):
    for path in (str(tmp_path / 'refs.p'), str(tmp_path), ''):
        with pytest.raises(FileNotFoundError, match='does not exist or is not a file; check data_root'):
            load(path)


def test_image_and_object_are_found(instances):
    image, annotation = instances.find(REF)
    assert image == dict(id=7, file_name='a.jpg')
    assert annotation == dict(id=20, image_id=7)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ann_id=22), 'ann_id 22, which does not exist'),
        (dict(image_id=9), 'image_id 9, which does not exist'),
        (dict(category_id=1), 'category_id 1, which does not exist'),
        (dict(ann_id=21), 'image 7, but annotation 21 is of image 8'),
    ],
)
def test_ref_of_another_data_set(instances, change, message):
    with pytest.raises(ValueError, match=f'ref 3 names {message} in .*instances.json. Refs and annotations have to be'):
        instances.find(REF | change)


@pytest.mark.parametrize('content', [b'{"images": [', b'[]', b'{}', b'\xff', b'{"images": [7], "annotations": []}'])
def test_file_that_is_not_in_the_format_of_coco(write, content):
    with pytest.raises(ValueError, match="instances.json is not in COCO's format: expected json with images, "):
        Instances.load(write(content, 'instances.json'))
