"""Files of data sets in which a field is lacking or of another type, and files that are damaged."""

import copy
import io
import json
import math
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import lmdb
import numpy as np
from pickles import Call

from mmdiffperc.captions import LoadCaption
from mmdiffperc.generative import ImageTargetDataset, LoadTarget
from mmdiffperc.inference.image_files import read_image
from mmdiffperc.models.layers.token_embeddings import read_vectors
from mmdiffperc.pose import CheckedCocoDataset
from mmdiffperc.seg import CheckedNYUDataset, KITTIDepthDataset, LoadRGBImageFromFile, ReferringSegDataset
from mmdiffperc.seg.referring.refer_transforms import LoadReferringMask

from .case import Case
from .damage import damaged

NAN, INF = math.nan, math.inf
HEIGHT, WIDTH = SIZE = (8, 12)
IMAGE = np.full((*SIZE, 3), 100, np.uint8)
MISSING = object()
DEEP = '[' * 100_000

# What a field of a kind cannot hold, by the kind.
ANYTHING = {
    'missing': MISSING,
    'null': None,
    'a list': [1],
    'nested': [[[]]],
    'an object': dict(a=1),
}
NO_NUMBER = {**ANYTHING, 'text': 'x', 'digits': '5', 'NaN': NAN, 'infinity': INF}
NO_COUNT = {**NO_NUMBER, 'negative': -1, 'a fraction': 1.5, 'huge': 10**40}
NO_SIZE = {**NO_COUNT, 'zero': 0}
NO_TEXT = {**ANYTHING, 'a number': 5, 'true': True}
NO_NAME = {
    **NO_TEXT,
    'empty': '',
    'blank': ' ',
    'a dot': '.',
    'above': '../a.png',
    'above in its middle': 'a/../../a.png',
    'absolute': '/a.png',
    'with NUL': 'a\0.png',
    'half a character': '\ud800.png',
    'too long': 'a' * 300 + '.png',
    'far too long': 'a/' * 3000 + 'a.png',
    'of no file': 'b.png',
}
NO_LIST = {'missing': MISSING, 'null': None, 'a number': 5, 'text': 'x', 'an object': dict(a=1), 'nested': [[[]]]}
NO_NUMBERS = {
    **NO_LIST,
    'empty': [],
    'too short': [1, 2, 3],
    'texts': ['x'] * 4,
    'nulls': [None] * 4,
    'NaN': [NAN] * 4,
    'infinite': [INF] * 4,
    'huge': [10**40] * 4,
}


def spoilt(entry: dict, **kinds: dict[str, object]) -> Iterator[tuple[str, dict]]:
    """Yield an entry with one field at a time that holds what it cannot.

    Args:
        entry (dict): A good one.
        **kinds: Values by what is wrong with them, for each field.
    """
    for field, values in kinds.items():
        for title, value in values.items():
            changed = {name: old for name, old in entry.items() if name != field}
            yield f'{field} {title}', changed if value is MISSING else changed | {field: value}


def cases() -> Iterator[Case]:
    """Of metadata, targets, RefCOCO, COCO, lists of depth, and images."""
    for area in (_metadata, _captions, _targets, _lmdb, _refer, _segmentations, _pose, _boxes, _depth, _images):
        yield from area()


def _in_folder(use: Callable[[Path], object], files: dict[str, bytes | str]) -> object:
    """Write files, and let their folder be used."""
    with TemporaryDirectory(prefix='case-') as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return use(Path(folder))


def _case(area: str, title: str, use: Callable, files: dict[str, bytes | str], *names: str) -> Case:
    return Case(area, title, partial(_in_folder, use, files), names)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image)[1].tobytes()


def saved(array: np.ndarray, **options) -> bytes:
    """Return an array as the content of an npy file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _compressed(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


LINE = dict(file_name='a.png', text='a room')
METADATA = {
    'empty': '',
    'blank lines': '\n \n',
    'no JSON': 'a.png a room',
    'an open bracket': '{"file_name": "a.png"',
    'a list': '["a.png", "a room"]',
    'a number': '5',
    'null': 'null',
    'deep nesting': DEEP,
    'a huge number': '{"file_name": ' + '9' * 10_000 + '}',
    'all lines in one': json.dumps([LINE, LINE]),
    'the name twice': f'{json.dumps(LINE)}\n{json.dumps(LINE)}',
    'the name twice, in another form': f'{json.dumps(LINE)}\n{json.dumps(dict(LINE, file_name="./a.png"))}',
    'UTF-16': json.dumps(LINE).encode('utf-16'),
    'bytes': b'\xff\xfe\x00\x89PNG',
    'CSV': 'file_name,text\na.png,a room\n',
}


def _metadata():
    texts = {name: value for name, value in NO_TEXT.items() if name not in ('missing', 'null')}  # no caption
    for title, line in spoilt(LINE, file_name=NO_NAME, text=texts):
        yield _of_metadata(title, json.dumps(line))
    for title, content in METADATA.items():
        yield _of_metadata(title, content)


def _of_metadata(title, content):
    files = {'images/metadata.jsonl': content, 'images/a.png': _png(IMAGE), 'targets/a.png': _png(IMAGE)}
    return _case('metadata.jsonl', title, _load_targets, files, 'metadata.jsonl', 'missing in')


CAPTIONS = {
    'of another data set': '{"ADE_val_00000001": {"captions": ["a room"]}}',
    'broken JSON': '{',
    'deep nesting': DEEP,
    'nothing in it': '{}',
    'a list': '[]',
    'an entry without captions': '{"a": {"class_label": 3}}',
    'an empty list': '{"a": {"captions": []}}',
    'a number': '{"a": {"captions": 3}}',
    'a list of numbers': '{"a": [3]}',
    'null': '{"a": null}',
    'another encoding': '{"a": "café"}'.encode('latin-1'),
}
TOKENS = {
    'a web page': b'<!doctype html>',
    'nothing in it': b'',
    'a list': pickle.dumps([1, 2]),
    'a pickle that runs code': pickle.dumps(Call(print)),
}


def _captions():
    for title, content in CAPTIONS.items():
        yield _case('captions.json', title, _load_caption, {'captions.json': content}, 'captions.json')
    yield _case('captions.json', 'no file', _load_caption, {}, 'captions.json')
    for title, content in TOKENS.items():
        yield _case('learned_embeds.bin', title, _load_token, {'learned_embeds.bin': content}, 'learned_embeds.bin')
    yield _case('learned_embeds.bin', 'no file', _load_token, {}, 'learned_embeds.bin')


def _load_caption(folder: Path):
    return LoadCaption(ann_file=folder / 'captions.json')(dict(img_path='a.png'))


def _load_token(folder: Path):
    return read_vectors(folder / 'learned_embeds.bin', '<a>')


def load_written(files: dict[str, bytes | str], mode: str = 'RGB') -> object:
    """Load an image and its target, of which these files differ."""
    good = {'images/a.png': _png(IMAGE)} | ({} if mode == 'F' else {'targets/a.png': _png(IMAGE)})
    return _in_folder(partial(_load_targets, mode=mode), good | files)


def _load_targets(folder: Path, mode: str = 'RGB'):
    prefix = {f'{kind}_path': f'{kind}s' for kind in ('target', 'mask') if (folder / f'{kind}s').exists()}
    prefix['img_path'] = 'images'
    dataset = ImageTargetDataset(prefix, data_root=str(folder), serialize_data=False, lazy_init=True)
    dataset.full_init()
    return LoadTarget(mode)(dict(dataset.get_data_info(0), ori_shape=SIZE))


GREY = np.full(SIZE, 0.5)
COLOURS = np.full((*SIZE, 3), 0.5)
TARGETS = {
    'grey': COLOURS[..., 0],
    'RGBA': np.full((*SIZE, 4), 0.5),
    'channels first': COLOURS.transpose(2, 0, 1),
    'of another size': COLOURS[:4],
    'turned': COLOURS.transpose(1, 0, 2),
    'flat': COLOURS.ravel(),
    'with a batch': COLOURS[None],
    'a number': np.array(0.5),
    'empty': COLOURS[:0],
    'beyond 1': COLOURS * 3,
    'negative': -COLOURS,
    'of 0 to 255': COLOURS * 510,
    'NaN': COLOURS * NAN,
    'infinite': COLOURS * INF,
    'signed bytes': COLOURS.astype('i1'),
    'integers': COLOURS.astype('i8'),
    'booleans': COLOURS > 0,
    'complex': COLOURS + 0j,
    'text': np.full((*SIZE, 3), 'a'),
    'dates': np.zeros((*SIZE, 3), 'M8[s]'),
    'records': np.zeros((*SIZE, 3), [('a', 'f4')]),
}
DEPTHS = {
    'colours': COLOURS,
    'of another size': GREY[:4],
    'NaN': GREY * NAN,
    'infinite': GREY * INF,
    'huge': GREY * 1e30,
    'beyond single precision': GREY * 1e300,
    'signed bytes': GREY.astype('i1'),
    'complex': GREY + 0j,
    'booleans': GREY > 0,
}
# Decoders of PNG make do without the end; an archive of a single array is an npz, whatever its name.
READABLE = (('without its last bytes', 'png'), ('zipped', 'npy'))


def _targets():
    for title, array in TARGETS.items():
        yield _of_target(f'array: {title}, npy', 'npy', saved(array))
        yield _of_target(f'array: {title}, npz', 'npz', _compressed(x=array))
    for title, array in DEPTHS.items():
        yield _of_target(f'depth {title}', 'npy', saved(array), mode='F')
        yield _of_target(f'mask {title}', 'npy', saved(GREY), mode='F', mask=saved(array))
    for title in ('grey', 'RGBA', 'of another size', 'beyond 1', 'NaN', 'signed bytes', 'integers'):
        yield _of_target(f'normals: {title}', 'npy', saved(TARGETS[title]), mode='normals')
    for suffix, content in dict(png=_png(IMAGE), npy=saved(COLOURS), npz=_compressed(x=COLOURS)).items():
        for title, left in damaged(content).items():
            if (title, suffix) not in READABLE:
                yield _of_target(f'{title}, {suffix}', suffix, left)
    objects = np.array([[None] * 12] * 8)
    for title, suffix, content in (
        ('objects', 'npy', saved(objects, allow_pickle=True)),
        ('no array', 'npz', _compressed()),
        ('two arrays of other names', 'npz', _compressed(a=COLOURS, b=COLOURS)),
        ('a header of a huge shape', 'npy', _header(f'({10**9}, {10**9})')),
        ('a header of a negative shape', 'npy', _header('(-8, 12)')),
        ('a header of nothing', 'npy', _header('None')),
        ('a header with a call', 'npy', _header('__import__("os").getcwd()')),
        ('a bomb', 'png', _bomb()),
        ('a JPEG under its name', 'npz', cv2.imencode('.jpg', IMAGE[:4])[1].tobytes()),
    ):
        yield _of_target(f'{title}, {suffix}', suffix, content)


def _of_target(title, suffix, content, mode='RGB', mask=None):
    files = {'images/a.png': _png(IMAGE), f'targets/a.{suffix}': content}
    if mask:
        files['masks/a.npy'] = mask
    return _case('target', title, partial(_load_targets, mode=mode), files, f'a.{suffix}')


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n"
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text.encode() + bytes(800)


def _bomb() -> bytes:
    """A PNG whose header declares 900 megapixels."""
    content = bytearray(_png(IMAGE))
    content[16:24] = (30_000).to_bytes(4, 'big') * 2
    return bytes(content)


def _lmdb():
    good = _database({'a.png': _png(IMAGE)})
    for title, content in damaged(good).items():
        if title != 'without its last bytes':  # LMDB uses whole pages
            yield _of_lmdb(title, content)
    for title, entries in {
        'empty': {},
        'another key': {'b.png': _png(IMAGE)},
        'a key without suffix': {'a': _png(IMAGE)},
        'an empty entry': {'a.png': b''},
        'text as entry': {'a.png': b'text'},
        'a cut entry': {'a.png': _png(IMAGE)[:40]},
    }.items():
        yield _of_lmdb(f'{title}, whole', _database(entries))


def _of_lmdb(title, content):
    files = {'images/a.png': _png(IMAGE), 'targets/data.mdb': content}
    return _case('lmdb', title, _load_targets, files, 'data.mdb', 'targets', 'a.png')


def _database(entries: dict[str, bytes]) -> bytes:
    with TemporaryDirectory(prefix='case-') as folder:
        with lmdb.open(folder, map_size=2**20) as database, database.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key.encode(), value)
        return (Path(folder) / 'data.mdb').read_bytes()


POLYGON = [[1, 1, 8, 1, 8, 6]]
INSTANCES = dict(
    images=dict(id=1, file_name='a.png', height=HEIGHT, width=WIDTH),
    annotations=dict(id=2, image_id=1, category_id=3, segmentation=POLYGON),
    categories=dict(id=3, name='animal'),
)
REF = dict(ref_id=4, ann_id=2, image_id=1, category_id=3, split='train', sentences=[dict(raw='a cat')])
SENTENCES = {
    **NO_LIST,
    'empty': [],
    'texts': ['a cat'],
    'without a text': [dict(tokens=['a', 'cat'])],
    'of null': [dict(sent='a cat', raw=None)],
    'of a number': [dict(sent=5, raw='a cat')],
    'of a list': [dict(raw=['a cat'])],
    'of nothing': [dict(raw=' ')],
    'of a long text': [dict(raw='cat ' * 1000)],
    'of bytes': [dict(raw=b'cat')],
}
TABLES = dict(
    images=dict(id=NO_COUNT, file_name=NO_NAME, height=NO_SIZE, width=NO_SIZE),
    annotations=dict(id=NO_COUNT, image_id=NO_COUNT, category_id=NO_COUNT),
    categories=dict(id=NO_COUNT),
)
REFS = dict(
    ref_id=NO_COUNT, ann_id=NO_COUNT, image_id=NO_COUNT, category_id=NO_COUNT, split=NO_TEXT, sentences=SENTENCES
)


def _refer():
    for table, kinds in TABLES.items():
        for title, entry in spoilt(INSTANCES[table], **kinds):
            yield _of_refer(f'{table}, {title}', instances=_instances(**{table: [entry]}))
        for title, value in NO_LIST.items():
            instances = _instances(**{table: value})
            yield _of_refer(f'{table} {title}', instances={k: v for k, v in instances.items() if v is not MISSING})
        twice = [INSTANCES[table], INSTANCES[table] | dict(file_name='c.png', segmentation=[], name='other')]
        yield _of_refer(f'{table} twice', instances=_instances(**{table: twice}))
    for title, ref in spoilt(REF, **REFS):
        yield _of_refer(f'ref, {title}', refs=[ref])
    for title, refs in {
        'refs null': None,
        'refs empty': [],
        'refs a dict': {1: REF},
        'refs twice': [REF, REF],
        'refs of text': ['a cat'],
        'refs of lists': [[REF]],
        'refs of another split': [REF | dict(split='val')],
        'refs with a call': [REF | dict(own=Call(print))],
        'refs of tuples': [REF | dict(own=(1, 2))],
    }.items():
        yield _of_refer(title, refs=refs)
    for title, left in damaged(pickle.dumps([REF])).items():
        yield _of_refer(f'refs.p, {title}', content={'refs.p': left})
    for title, left in (damaged(json.dumps(_instances()).encode()) | {'deep': DEEP, 'a number': '5'}).items():
        yield _of_refer(f'instances.json, {title}', content={'instances.json': left})


def _instances(**tables) -> dict:
    return {name: [entry] for name, entry in copy.deepcopy(INSTANCES).items()} | tables


def _of_refer(title, instances=None, refs=MISSING, content=()):
    files = {
        'a.png': _png(IMAGE),
        'instances.json': json.dumps(_instances() if instances is None else instances),
        'refs.p': pickle.dumps([REF] if refs is MISSING else refs),
        **dict(content),
    }
    return _case('RefCOCO', title, _load_refer, files, 'instances.json', 'refs.p', 'a.png', 'entence', 'Latin')


def _load_refer(folder: Path):
    files = dict(ann_file='instances.json', split_file='refs.p', data_prefix=dict(img_path=''))
    dataset = ReferringSegDataset(**files, data_root=str(folder), serialize_data=False, lazy_init=True)
    dataset.full_init()
    return LoadReferringMask()(dict(dataset.get_data_info(0), ori_shape=SIZE))


AREA = HEIGHT * WIDTH
SEGMENTATIONS = {
    **NO_LIST,
    'empty': [],
    'an empty polygon': [[]],
    'flat': POLYGON[0],
    'two points': [[1, 1, 8, 1]],
    'half a point': [[1, 1, 8, 1, 8, 6, 3]],
    'texts': [['1'] * 6],
    'nulls': [[None] * 6],
    'NaN': [[NAN] * 6],
    'infinite': [[INF] * 6],
    'far away': [[3e8] * 6],
    'huge': [[10**40] * 6],
    'points as pairs': [[[1, 1], [8, 1], [8, 6]]],
    'a long outline': [[0, 0, 9e5, 9e5] * 100 + [0, 0]],
    'runs without counts': dict(size=[HEIGHT, WIDTH]),
    'runs without size': dict(counts=[AREA]),
    'runs of another size': dict(size=[WIDTH, HEIGHT], counts=[AREA]),
    'runs of a text as size': dict(size='8x12', counts=[AREA]),
    'runs too short': dict(size=[HEIGHT, WIDTH], counts=[AREA - 1]),
    'runs too long': dict(size=[HEIGHT, WIDTH], counts=[AREA + 1]),
    'negative runs': dict(size=[HEIGHT, WIDTH], counts=[-1, AREA + 1]),
    'runs of floats': dict(size=[HEIGHT, WIDTH], counts=[1.0, AREA - 1.0]),
    'runs of texts': dict(size=[HEIGHT, WIDTH], counts=[str(AREA)]),
    'runs of NaN': dict(size=[HEIGHT, WIDTH], counts=[NAN]),
    'huge runs': dict(size=[HEIGHT, WIDTH], counts=[2**70]),
    'empty runs': dict(size=[HEIGHT, WIDTH], counts=[]),
    'an empty code': dict(size=[HEIGHT, WIDTH], counts=''),
    'a code of nonsense': dict(size=[HEIGHT, WIDTH], counts='nonsense\x00'),
    'a code cut off': dict(size=[HEIGHT, WIDTH], counts='PPPPPPPPPPP'),
    'a code of another script': dict(size=[HEIGHT, WIDTH], counts='空'),
}


def _segmentations():
    for title, entry in spoilt(INSTANCES['annotations'], segmentation=SEGMENTATIONS):
        yield _of_refer(f'annotation, {title}', instances=_instances(annotations=[entry]))


KEYPOINTS = [5.0, 4.0, 2] * 17
PEOPLE = dict(
    images=dict(id=1, file_name='a.png', height=HEIGHT, width=WIDTH),
    annotations=dict(
        id=2, image_id=1, category_id=1, bbox=[1, 1, 8, 6], keypoints=KEYPOINTS, num_keypoints=17, area=48, iscrowd=0
    ),
    categories=dict(id=1, name='person'),
)
BOXES = {
    **NO_NUMBERS,
    'negative size': [1, 1, -8, -6],
    'without area': [1, 1, 0, 0],
    'outside': [100, 100, 8, 6],
    'five numbers': [1, 1, 8, 6, 1],
}
JOINTS = {
    **NO_NUMBERS,
    'texts': ['x'] * 51,
    'nulls': [None] * 51,
    'NaN': [NAN] * 51,
    'one NaN': [NAN, *KEYPOINTS[1:]],
    'infinite': [INF] * 51,
    'huge': [10**40] * 51,
    'of another data set': KEYPOINTS[:42],
    'nested triples': [[5, 4, 2]] * 17,
    'nested, 51': [[5]] * 51,
    'all unlabelled': [0] * 51,
}
POSE = dict(
    images=dict(id=NO_COUNT, file_name=NO_NAME, height=NO_SIZE, width=NO_SIZE),
    annotations=dict(id=NO_COUNT, image_id=NO_COUNT, category_id=NO_COUNT, bbox=BOXES, keypoints=JOINTS),
    categories=dict(id=NO_COUNT, name=NO_TEXT),
)


def _pose():
    for table, kinds in POSE.items():
        for title, entry in spoilt(PEOPLE[table], **kinds):
            yield _of_pose(f'{table}, {title}', people=_people(**{table: [entry]}))
        for title, value in NO_LIST.items():
            people = _people(**{table: value})
            yield _of_pose(f'{table} {title}', people={k: v for k, v in people.items() if v is not MISSING})
        yield _of_pose(f'{table} empty', people=_people(**{table: []}))
    for title, left in (damaged(json.dumps(_people()).encode()) | {'deep': DEEP, 'a number': '5'}).items():
        yield _of_pose(f'people.json, {title}', content={'people.json': left})


def _people(**tables) -> dict:
    return {name: [entry] for name, entry in copy.deepcopy(PEOPLE).items()} | tables


def _of_pose(title, people=None, content=()):
    files = {'a.png': _png(IMAGE), 'people.json': json.dumps(_people() if people is None else people), **dict(content)}
    return _case('COCO', title, _load_pose, files, 'people.json', 'boxes.json', 'a.png', 'b.png')


def _load_pose(folder: Path):
    options = dict(ann_file='people.json', data_root=str(folder), data_prefix=dict(img=''))
    if (folder / 'boxes.json').is_file():
        options.update(bbox_file=str(folder / 'boxes.json'), test_mode=True)
    dataset = CheckedCocoDataset(**options)
    sample = dataset[0]
    return LoadRGBImageFromFile()(dict(img_path=sample['img_path']))


DETECTION = dict(image_id=1, category_id=1, bbox=[1, 1, 8, 6], score=0.9)


def _boxes():
    kinds = dict(image_id=NO_COUNT, category_id=NO_COUNT, bbox=BOXES, score=NO_NUMBER)
    for title, entry in spoilt(DETECTION, **kinds):
        yield _of_pose(f'detection, {title}', content={'boxes.json': json.dumps([entry])})
    for title, content in {'null': None, 'empty': [], 'an object': DETECTION, 'texts': ['x'], 'a number': 5}.items():
        yield _of_pose(f'detections {title}', content={'boxes.json': json.dumps(content)})
    for title, left in (damaged(json.dumps([DETECTION]).encode()) | {'deep': DEEP}).items():
        yield _of_pose(f'boxes.json, {title}', content={'boxes.json': left})


LISTS = {
    'empty': '',
    'blank': '\n \n',
    'a word': 'a.png',
    'four words': 'a.png a.png 721.5 1',
    'commas': 'a.png,a.png',
    'no depth': 'a.png None',
    'an image above': '../a.png a.png',
    'a depth map above': 'a.png ../a.png',
    'NUL': 'a\0.png a.png',
    'a long name': f'{"a" * 300}.png a.png',
    'a far too long name': f'{"a/" * 3000}a.png a.png',
    'no such image': 'b.png a.png',
    'no such depth map': 'a.png b.png',
    'bytes': b'\xff\xfe\x00\x89PNG',
    'UTF-16': 'a.png a.png'.encode('utf-16'),
    'JSON': '{"image": "a.png", "depth": "a.png"}',
}


def _depth():
    for title, content in LISTS.items():
        files = {'images/a.png': _png(IMAGE), 'annotations/a.png': _png(IMAGE[..., 0]), 'split.txt': content}
        yield _case('KITTI', title, _load_kitti, files, 'split.txt')
    for title, files in {
        'no folder': {'a.png': b''},
        'no images': {'images/a.txt': b''},
        'other images': {'images/a.bmp': b'', 'annotations/a.bmp': b''},
    }.items():
        yield _case('NYU', title, _load_nyu, files, 'images')


def _load_kitti(folder: Path):
    return KITTIDepthDataset('split.txt', data_root=str(folder))


def _load_nyu(folder: Path):
    prefix = dict(img_path='images', depth_map_path='annotations')
    return CheckedNYUDataset(data_root=str(folder), data_prefix=prefix, img_suffix='.png')


def _images():
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    for suffix in ('png', 'jpg'):
        content = cv2.imencode(f'.{suffix}', noise)[1].tobytes()
        for title, left in damaged(content).items():
            if title not in ('without its last bytes', 'cut in half'):  # OpenCV fills what is lacking
                yield _of_image(f'{title}, {suffix}', f'a.{suffix}', left)
    yield _of_image('a bomb', 'a.png', _bomb())
    for suffix, text in dict(svg='<svg/>', gif='GIF89a', webp='RIFF', tif='II*\0', bmp='BM', exr='v/1\1').items():
        yield _of_image(f'the beginning of {suffix}', f'a.{suffix}', text)
    for read in (read_image, _load_image):
        yield Case('image', f'no such file, {read.__name__}', partial(read, '/nowhere/a.png'), ('a.png',))


def _of_image(title, name, content):
    return _case(
        'image', title, lambda folder: (_load_image(folder / name), read_image(folder / name)), {name: content}, name
    )


def _load_image(path: str | Path):
    return LoadRGBImageFromFile()(dict(img_path=str(path)))
