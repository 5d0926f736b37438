import io
import json
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from pickles import Call

from mmdiffperc.seg.referring import refer_files
from mmdiffperc.seg.referring.refer_files import Instances, load_refs

REF = dict(ref_id=3, ann_id=20, image_id=7, category_id=2, split='train', sentences=[dict(raw='the left one')])
IMAGES = [dict(id=number, file_name=f'{number}.jpg', height=4, width=6) for number in (7, 8)]
ANNOTATIONS = [dict(id=n, image_id=n - 13, category_id=2, segmentation=[[0, 0, 3, 0, 3, 3]]) for n in (20, 21)]
COCO = dict(
    images=IMAGES, annotations=ANNOTATIONS, categories=[dict(id=2, name='cat'), dict(id=3, name='dog')], info={}
)
# As Python 2 wrote them: protocol 0, byte strings, long ints.
PYTHON_2 = (
    b"(lp0\n(dp1\nS'ref_id'\np2\nI3\nsS'ann_id'\np3\nL20L\nsS'image_id'\nI7\nsS'category_id'\nI2\nsS'split'\n"
    b"S'train'\nsS'sentences'\n(lp4\n(dp5\nS'raw'\nS'the caf\\xe9'\nsasa."
)


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
    return Instances.load(write(json.dumps(COCO).encode(), 'instances.json'))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_refs_of_every_protocol(write, protocol):
    refs = [REF, REF | dict(ref_id=4)]
    assert load_refs(write(pickle.dumps(refs, protocol))) == refs


def test_refs_of_python_2(write):
    assert load_refs(write(PYTHON_2)) == [REF | dict(sentences=[dict(raw='the café')])]


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_nothing_is_executed(write, tmp_path, protocol):
    path = write(pickle.dumps([REF, Call(os.mkdir, str(tmp_path / 'executed'))], protocol))
    with pytest.raises(pickle.UnpicklingError, match=r'refs\(unc\)\.p.*`(posix|nt)\.mkdir`'):
        load_refs(path)
    assert not (tmp_path / 'executed').exists()
    pickle.load(io.BytesIO((tmp_path / 'refs(unc).p').read_bytes()))
    assert (tmp_path / 'executed').exists()


def test_classes_are_refused(write):
    with pytest.raises(pickle.UnpicklingError, match='numpy'):
        load_refs(write(pickle.dumps([REF | dict(ann_id=np.int64(20))])))


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', pickle.dumps([REF])[:-9]])
def test_damaged_file(write, content):
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p.*damaged'):
        load_refs(write(content))


@pytest.mark.parametrize('content', [[], {}, dict(images=[]), 'train'])
def test_no_list_of_refs(write, content):
    with pytest.raises(ValueError, match='refs'):
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
        dict(sentences=[dict(tokens=['left', 'one'])]),
        dict(sentences=[dict(raw='the left one', sent=None)]),
    ],
)
def test_entry_that_is_no_ref(write, change):
    with pytest.raises(ValueError, match='entry 1.*RefCOCO'):
        load_refs(write(pickle.dumps([REF, REF | change])))


@pytest.mark.parametrize('load', [load_refs, Instances.load])
def test_missing_file(tmp_path, load):
    for path in (str(tmp_path / 'refs.p'), str(tmp_path), ''):
        with pytest.raises(FileNotFoundError, match='data_root'):
            load(path)


def test_image_and_object_are_found(instances):
    image, annotation = instances.find(REF)
    assert image == IMAGES[0]
    assert annotation == ANNOTATIONS[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ann_id=22), 'ann_id 22'),
        (dict(image_id=9), 'image_id 9'),
        (dict(category_id=1), 'category_id 1'),
        (dict(ann_id=21), 'image 7.*annotation 21.*image 8'),
        (dict(category_id=3), 'category 3.*annotation 20.*category 2'),
    ],
)
def test_ref_of_another_data_set(instances, change, message):
    with pytest.raises(ValueError, match=f'ref 3 .*{message}.*instances.json'):
        instances.find(REF | change)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"images": [', 'JSON'),
        (b'\xff', 'JSON'),
        (b'[]', 'JSON object'),
        (b'{"images": {}}', 'image'),
        (b'{"images": []}', 'annotation'),
        (b'{"images": [7]}', 'image number 0.*7'),
    ],
)
def test_file_that_is_not_in_the_format_of_coco(write, content, message):
    with pytest.raises(ValueError, match=f'instances.json.*{message}'):
        Instances.load(write(content, 'instances.json'))


@pytest.mark.parametrize(
    ('table', 'entry', 'field'),
    [
        ('images', 'image 8', 'file_name'),
        ('annotations', 'annotation 21', 'category_id'),
        ('categories', 'category', 'id'),
    ],
)
def test_entry_that_lacks_something(write, table, entry, field):
    content = json.loads(json.dumps(COCO))
    del content[table][1][field]
    with pytest.raises(ValueError, match=f'instances.json.*{entry}.*{field}'):
        Instances.load(write(json.dumps(content).encode(), 'instances.json'))


def nested(depth):
    """A pickle of some hundred bytes; written out, the list has 2 ** depth entries."""
    doubled = b''.join(b'(h%ch%cl\x94' % (number, number) for number in range(1, depth + 1))
    return b'\x80\x04](K\x00e\x94\x94' + doubled + b'.'


def test_endlessly_nested_list_is_quoted_briefly(write):
    content = nested(60)
    assert len(content) < 500
    for opener in (b'', b'\x80\x04]'):
        with pytest.raises(ValueError, match=r'refs\(unc\)\.p') as error:
            load_refs(write(opener + content[2 * bool(opener) :]))
        assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (b'\x80\x05\x96\x00\x00\x00@\x00\x00\x00\x00.', 'BYTEARRAY8'),  # 1 GB
        (pickle.dumps([REF | dict(split=(1, 2))]), 'TUPLE2'),  # as the key of a dict, it may take forever to hash
        (pickle.dumps([REF | dict(split={1, 2})]), 'EMPTY_SET'),
    ],
)
def test_what_allocates_or_hashes_without_bounds(write, content, name):
    with pytest.raises(pickle.UnpicklingError, match=rf'refs\(unc\)\.p.*{name}'):
        load_refs(write(content))


@pytest.mark.parametrize('content', [b'\x80\x02Nr\xff\xff\xff\x0f.', b'Np999999999\n.'])
def test_table_of_objects_is_not_made_as_long_as_the_file_says(write, content):
    """Python's unpickler in C would take 4 GB for these."""
    tracemalloc.start()
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p.*None'):
        load_refs(write(content))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e6


@pytest.mark.parametrize('change', [dict(ref_id=-1), dict(ann_id=10**400), dict(sentences=[dict(raw='x' * 3000)])])
def test_numbers_and_sentences_beyond_all_bounds(write, change):
    with pytest.raises(ValueError, match='entry 1') as error:
        load_refs(write(pickle.dumps([REF, REF | change])))
    assert len(str(error.value)) < 1000


def test_ref_that_is_there_twice(write):
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p.*\b1\b.*\b2\b.*ref_id 4'):
        load_refs(write(pickle.dumps([REF, REF | dict(ref_id=4), REF | dict(ref_id=4, split='val')])))


def test_one_list_of_sentences_for_all(write, monkeypatch):
    """A small file, in which each ref repeats the same long list."""
    monkeypatch.setattr(refer_files, 'MOST_SENTENCES', 1999)
    sentences = REF['sentences'] * 1000
    refs = [REF | dict(ref_id=number, sentences=sentences) for number in range(2)]
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p.*1999 sentences'):
        load_refs(write(pickle.dumps(refs)))
    assert len(load_refs(write(pickle.dumps(refs[:1])))) == 1


@pytest.mark.parametrize(
    ('table', 'change', 'problem'),
    [
        ('images', dict(file_name='../8.jpg'), r"image 8.*'\.\./8\.jpg'"),
        ('images', dict(file_name='/8.jpg'), "image 8.*'/8.jpg'"),
        ('images', dict(file_name=None), 'image 8.*None'),
        ('images', dict(height=4.5), 'image 8 .*height.*4.5'),
        ('images', dict(id=[8]), r'image .*8.*\bid\b.*8.*height'),
        ('images', dict(id=7), r'images.*\b7\b'),
        ('annotations', dict(image_id='8'), "annotation 21.*image_id '8'"),
        ('annotations', dict(id=20), r'annotations.*\b20\b'),
    ],
)
def test_entry_that_cannot_be_used(write, table, change, problem):
    content = json.loads(json.dumps(COCO))
    content[table][1].update(change)
    with pytest.raises(ValueError, match=rf'instances\.json.*{problem}'):
        Instances.load(write(json.dumps(content).encode(), 'instances.json'))
