import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mmdiffperc.seg.referring.refer_dataset import ReferringSegDataset
from mmdiffperc.seg.referring.refer_transforms import EvaluateAtInputSize, LoadReferringMask  # noqa: F401  (registers them)
from mmdiffperc.toy_scenes.writers import DatasetSpec, make_sample, write_dataset

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'
# As typed, by the number of the object.
RAW = {1: ['Left cat', 'the cat, on the left'], 2: ['a dog'], 3: ['It.', 'this', 'THAT one!']}
SENTENCES = {1: ['left cat', 'the cat on the left'], 2: ['a dog'], 3: ['it', 'this', 'that one']}
SPLITS = {1: 'train', 2: 'train', 3: 'val'}


def refs():
    """Refs of three objects, each alone in its image."""
    return [
        dict(
            ref_id=number,
            ann_id=10 * number,
            image_id=100 * number,
            category_id=5,
            split=SPLITS[number],
            file_name='another_name.jpg',  # RefCOCO's own has the object's number in it
            sentences=[
                dict(raw=raw, sent=sent, tokens=sent.split()) for raw, sent in zip(RAW[number], sentences, strict=True)
            ],
        )
        for number, sentences in SENTENCES.items()
    ]


@pytest.fixture
def write(tmp_path):
    """Write the files, with these refs."""

    def write(refs):
        (tmp_path / 'refs.p').write_bytes(pickle.dumps(refs))
        content = dict(
            images=[dict(id=100 * n, file_name=f'{n}.jpg', height=4 + n, width=8) for n in SENTENCES],
            annotations=[
                dict(id=10 * n, image_id=100 * n, category_id=5, segmentation=[[n, 1, 5, 1, 5, 3]]) for n in SENTENCES
            ],
            categories=[dict(id=5, name='animal')],
        )
        (tmp_path / 'instances.json').write_text(json.dumps(content))
        for number in SENTENCES:
            (tmp_path / f'{number}.jpg').write_bytes(b'an image')

    return write


@pytest.fixture
def build(tmp_path, write):
    """Build the data set from the written files."""
    write(refs())
    files = dict(data_root=str(tmp_path), ann_file='instances.json', split_file='refs.p', serialize_data=False)
    return lambda **arguments: ReferringSegDataset(**(files | arguments))


def test_training_sample_is_an_object(build, tmp_path):
    dataset = build()
    assert len(dataset) == 2
    info = dataset.get_data_info(0)
    assert info.pop('text') in SENTENCES[1]
    assert info == dict(
        img_path=str(tmp_path / '1.jpg'),
        img_id=100,
        ref_id=1,
        height=5,
        width=8,
        segmentation=[[1, 1, 5, 1, 5, 3]],
        seg_fields=[],
        sample_idx=0,
    )
    assert dataset.metainfo['classes'] == ('background', 'referred object')


def test_training_sentence_is_random(build):
    dataset = build(split='val')
    drawn = Counter(dataset.get_data_info(0)['text'] for _ in range(300))
    assert set(drawn) == set(SENTENCES[3])
    assert min(drawn.values()) > 60


def test_training_sentences_come_again_with_the_seed(build):
    dataset = build(split='val')
    runs = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        runs.append([dataset.get_data_info(0)['text'] for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_every_sentence_is_a_test_sample(build, split):
    dataset = build(split=split, test_mode=True)
    infos = map(dataset.get_data_info, range(len(dataset)))
    found = [(info['ref_id'], info['sentence_number'], info['text']) for info in infos]
    expected = [(n, *sentence) for n in SENTENCES for sentence in enumerate(SENTENCES[n]) if SPLITS[n] == split]
    assert found == expected


def test_sentences_cleaned_or_as_typed(build):
    def texts_of(**arguments):
        dataset = build(split='val', test_mode=True, **arguments)
        return [dataset.get_data_info(index)['text'] for index in range(len(dataset))]

    assert texts_of() == texts_of(sentence_field='sent') == SENTENCES[3]
    assert texts_of(sentence_field='raw') == RAW[3]
    with pytest.raises(ValueError, match="sentence_field.*'sent'.*'raw'"):
        build(sentence_field='tokens')


@pytest.mark.parametrize('field', ['sent', 'raw'])
def test_sentences_with_only_one_field(build, write, field):
    only = refs()
    only[2]['sentences'][1:2] = [{field: 'This, then.'}]
    write(only)
    for sentence_field, others in dict(sent=SENTENCES, raw=RAW).items():
        dataset = build(split='val', test_mode=True, sentence_field=sentence_field)
        found = [dataset.get_data_info(index)['text'] for index in range(3)]
        assert found == [others[3][0], 'This, then.', others[3][2]]


@pytest.mark.parametrize('test_mode', [False, True])
def test_sentences_of_another_sample(build, write, test_mode):
    many = [dict(ref, split='train') for ref in refs()]
    write(many)
    own, shuffled, again, other = (
        [build(test_mode=test_mode, shuffle_seed=seed).get_data_info(i) for i in range(6 if test_mode else 3)]
        for seed in (None, 3, 3, 1)
    )
    assert [info['ref_id'] for info in shuffled] == [info['ref_id'] for info in own]
    if not test_mode:
        assert all(info['text'] not in SENTENCES[info['ref_id']] for info in shuffled)
    else:
        texts = [[info['text'] for info in infos] for infos in (own, shuffled, again, other)]
        assert sorted(texts[0]) == sorted(texts[1]) and texts[1] == texts[2] != texts[3]
        assert all(mine != given for mine, given in zip(*texts[:2], strict=True))


def test_there_is_no_other_sentence(build):
    with pytest.raises(ValueError, match=r'\b1\b'):
        build(split='val', shuffle_seed=0)


def test_split_that_is_missing(build):
    with pytest.raises(ValueError, match=r"refs\.p.*'testA'.*train, val"):
        build(split='testA')


def test_refs_of_another_data_set(build, write):
    other = refs()
    other[1]['ann_id'] = 31
    write(other)
    with pytest.raises(ValueError, match='ref 2.*ann_id 31.*instances.json'):
        build()
    assert len(build(split='val')) == 1  # whose own refs are right


@pytest.mark.parametrize(('sentences', 'kept'), [(['', 'a dog', ' \n'], 1), ([' '], 0), ([], 0)])
def test_empty_sentence(build, write, sentences, kept):
    empty = refs()
    empty[1]['sentences'] = [dict(raw=text) for text in sentences]
    write(empty)
    with pytest.raises(ValueError, match='ref 2.*empty.*filter_cfg'):
        build()
    arguments = dict(filter_cfg=dict(filter_empty_sentences=True))
    assert len(build(**arguments)) == 1 + (kept > 0)
    assert len(build(test_mode=True, **arguments)) == 2 + kept


def test_images_that_are_missing(build, tmp_path):
    (tmp_path / '2.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'2\.jpg, image 200.*instances\.json'):
        build()
    assert len(build(split='val')) == 1


def test_absolute_split_file(build, tmp_path):
    assert len(build(split_file=str(tmp_path / 'refs.p'))) == 2


@pytest.fixture(scope='module')
def toy_spec():
    return DatasetSpec(num_train=3, num_val=6, size=(48, 64), seed=7, formats=('refcoco',))


@pytest.fixture(scope='module')
def toy_config(tmp_path_factory, toy_spec):
    """The shipped config of toy scenes, on a few of another size."""
    root = tmp_path_factory.mktemp('toy') / 'scenes'
    write_dataset(root, toy_spec)
    config = Config.fromfile(CONFIGS / 'toy_refcoco_128x128.py')
    for phase in ('train', 'val', 'test'):
        config[f'{phase}_dataloader'].dataset.data_root = str(root / 'refcoco')
    init_default_scope('mmseg')
    return config


def expected_masks(spec, samples):
    """Of every sentence of a scene, by image and sentence."""
    return {
        (Path(sample.file_name).name, sentence): sample.rendering.instance_map == index + 1
        for sample in samples
        for index, _, sentence in sample.references
    }


def squash(mask):
    """To 128 x 128, by the nearest pixel's centre."""
    rows, columns = (((np.arange(128) + 0.5) * size / 128).astype(int) for size in mask.shape)
    return mask[rows][:, columns]


def test_toy_scenes_in_training(toy_config, toy_spec):
    init_default_scope('mmseg')
    dataset = DATASETS.build(toy_config.train_dataloader.dataset)
    masks = expected_masks(toy_spec, [make_sample(toy_spec, 'train', index) for index in range(3)])
    assert len(dataset) == len({mask.tobytes() for mask in masks.values()})
    for packed in dataset:
        sample = packed['data_samples']
        assert packed['inputs'].shape == (3, 128, 128)
        assert sample.ori_shape == (48, 64) and sample.img_shape == (128, 128)
        expected = squash(masks[Path(sample.img_path).name, sample.text])
        np.testing.assert_array_equal(sample.gt_sem_seg.data[0], expected)


def test_toy_scenes_in_testing(toy_config, toy_spec):
    init_default_scope('mmseg')
    loader = Runner.build_dataloader(toy_config.val_dataloader)
    masks = expected_masks(toy_spec, [make_sample(toy_spec, 'val', index) for index in (0, 2, 4)])
    found = [sample for batch in loader for sample in batch['data_samples']]
    assert sorted((Path(one.img_path).name, one.text) for one in found) == sorted(masks)
    for sample in found:
        assert sample.ori_shape == sample.img_shape == (128, 128)
        expected = squash(masks[Path(sample.img_path).name, sample.text])
        np.testing.assert_array_equal(sample.gt_sem_seg.data[0], expected)


@pytest.mark.parametrize(('name', 'by'), [('refcoco', 'unc'), ('refcoco+', 'unc'), ('refcocog', 'umd')])
def test_shipped_configs(name, by):
    config = Config.fromfile(CONFIGS / f'{name}_512x512.py')
    for phase, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = config[f'{phase}_dataloader'].dataset
        assert dataset.ann_file == f'{name}/instances.json'
        assert dataset.split_file == f'{name}/refs({by}).p'
        assert dataset.split == split
        assert dataset.get('test_mode', False) == (phase != 'train')
    assert config.test_evaluator.type == 'ReferringSegMetric'


@pytest.mark.parametrize('segmentation', [None, [], [[]], [1, 1, 5, 1, 5, 3], [[1, 1, 5, 1]], 'x'])
def test_segmentation_without_a_polygon(build, tmp_path, segmentation):
    content = json.loads((tmp_path / 'instances.json').read_text())
    content['annotations'][1]['segmentation'] = segmentation
    (tmp_path / 'instances.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'instances\.json, annotation 20.*ref 2.*polygons'):
        build()
    assert len(build(split='val')) == 1  # of other objects


@pytest.mark.parametrize(
    ('points', 'named'),
    [
        ([0.1, 0.2, 0.5, 0.2, 0.5, 1], r'pixels.*0.1.*\b1\b'),
        ([8, 1, 12, 1, 12, 3], r'6 x 8.*\b8\b.*\b12\b.*\b1\b.*\b3\b'),
        ([1, 6, 5, 6, 5, 9], r'6 x 8.*\b6\b.*\b9\b'),
        ([-4, 1, 0, 1, 0, 3], r'-4.*\b0\b'),
    ],
)
def test_polygons_that_draw_nothing(build, tmp_path, points, named):
    """Of the second object, whose image has 6 x 8 pixels (height x width)."""
    content = json.loads((tmp_path / 'instances.json').read_text())
    content['annotations'][1]['segmentation'] = [points]
    (tmp_path / 'instances.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'instances\.json, annotation 20.*ref 2.*{named}'):
        build()


@pytest.mark.parametrize('points', [[7, 5, 12, 5, 12, 9], [0, 0, 1, 0, 2, 1]])
def test_polygons_at_the_edge_of_the_image(build, tmp_path, points):
    content = json.loads((tmp_path / 'instances.json').read_text())
    content['annotations'][1]['segmentation'] = [points]
    (tmp_path / 'instances.json').write_text(json.dumps(content))
    assert len(build()) == 2


def test_images_of_another_size(build, tmp_path):
    Image.new('RGB', (8, 6)).save(tmp_path / '2.jpg')  # the annotations are for 6 x 8 (height x width)
    Image.new('RGB', (5, 8)).save(tmp_path / '1.jpg')
    with pytest.raises(ValueError, match=r'instances\.json.*image 100.*1\.jpg.*\b1\b.*\b2\b'):
        build()
    assert len(build(split='val')) == 1
