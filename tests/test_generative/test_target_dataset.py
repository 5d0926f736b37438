import json
import pickle
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope
from torch.utils.data import DataLoader

from mmdiffperc.generative import DeterministicDiffusion, ImageTargetDataset, LoadTarget, PackTargetInputs
from mmdiffperc.generative.target_stores import new_database, put
from mmdiffperc.inference.metadata import metadata_line
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.toy_scenes.writers import make_sample


def toy_config(root, kind, split='train', mode='RGB', **options):
    return dict(
        type='ImageTargetDataset',
        data_root=str(root / 'dmp'),
        data_prefix=dict(img_path=split, target_path=f'targets/{split}/{kind}'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadTarget', mode=mode), dict(type='PackTargetInputs')],
        **options,
    )


def build(config):
    """As under the script that ``mim train mmseg`` runs."""
    init_default_scope('mmseg')
    import mmseg.datasets  # noqa: F401

    return DATASETS.build(config)


def write_images(folder, names, size=(6, 10), captions=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(encode_png(np.full((*size, 3), 90, np.uint8)))
    if captions:
        lines = [metadata_line(name, texts) for name, texts in zip(names, captions, strict=True)]
        (folder / 'metadata.jsonl').write_text(''.join(lines))
    return folder


@pytest.mark.parametrize('kind', ['normals', 'depth', 'albedo', 'shading'])
def test_toy_scenes(toy_root, toy_spec, kind):
    dataset = build(toy_config(toy_root, kind, mode='F' if kind == 'depth' else 'RGB', test_mode=True))
    assert len(dataset) == toy_spec.num_train
    for index in range(len(dataset)):
        scene = make_sample(toy_spec, 'train', index)
        item = dataset[index]
        assert (item['inputs'].numpy()[::-1].transpose(1, 2, 0) == scene.rendering.image).all()
        sample, truth = item['data_samples'], getattr(scene.rendering, kind)
        assert sample.text == scene.captions[0] and sample.ori_shape == sample.img_shape == toy_spec.size
        if kind == 'depth':
            assert (sample.gt_target.data.numpy()[0] == truth).all()
            continue
        truth = (truth + 1) / 2 if kind == 'normals' else truth.clip(0, 1)
        target = sample.gt_target.data
        assert target.dtype == torch.float and abs(target.permute(1, 2, 0).numpy() - truth).max() <= 0.51 / 255


def test_training_draws_a_caption(toy_root, toy_spec):
    dataset = build(toy_config(toy_root, 'albedo'))
    captions = set(make_sample(toy_spec, 'train', 0).captions)
    assert len(captions) > 1
    assert {dataset[0]['data_samples'].text for _ in range(60)} == captions


def test_each_worker_opens_the_database(toy_root):
    dataset = build(toy_config(toy_root, 'normals', test_mode=True))
    expected = [dataset[index]['data_samples'].gt_target.data for index in range(len(dataset))]  # opened here as well
    loader = DataLoader(dataset, 2, num_workers=2, collate_fn=pseudo_collate, multiprocessing_context='fork')
    found = [sample.gt_target.data for batch in loader for sample in batch['data_samples']]
    torch.testing.assert_close(found, expected)
    # As for workers that are spawned.
    assert pickle.loads(pickle.dumps(dataset))[1]['data_samples'].gt_target.data.equal(expected[1])


def test_two_data_sets_share_a_database(toy_root):
    one, other = (build(toy_config(toy_root, 'albedo', test_mode=True)) for _ in range(2))
    assert one[0]['data_samples'].gt_target.data.equal(other[0]['data_samples'].gt_target.data)


def test_training_resizes_both_and_testing_the_image_alone(toy_root, toy_spec):
    config = toy_config(toy_root, 'segmentation')
    load, target, pack = config['pipeline']
    resize = dict(type='Resize', scale=(40, 24))
    train = build(dict(config, pipeline=[load, target, resize, pack]))[0]
    assert train['inputs'].shape == train['data_samples'].gt_target.data.shape == (3, 24, 40)
    test = build(dict(config, pipeline=[load, resize, target, pack]))[0]['data_samples']
    assert test.img_shape == (24, 40) and test.gt_target.data.shape[1:] == test.ori_shape == toy_spec.size
    # No colour is made up that stands for another class.
    colours = {tuple(colour) for colour in train['data_samples'].gt_target.data.flatten(1).T.tolist()}
    assert colours <= {tuple(colour) for colour in test.gt_target.data.flatten(1).T.tolist()}


def test_flipping_and_cropping_take_the_target_along(toy_root):
    """An image that is its own target stays so."""
    config = toy_config(toy_root, None)
    load, target, pack = config['pipeline']
    changes = [dict(type='RandomFlip', prob=1.0), dict(type='RandomCrop', crop_size=(20, 32))]
    prefix = dict(img_path='val', target_path='val')
    item = build(dict(config, data_prefix=prefix, pipeline=[load, target, *changes, pack]))[0]
    plain = build(dict(config, data_prefix=prefix))[0]['inputs']
    assert item['inputs'].shape == (3, 20, 32)
    torch.testing.assert_close(item['data_samples'].gt_target.data, item['inputs'].flip(0) / 255)
    flipped = plain.flip(2).unfold(1, 20, 1).unfold(2, 32, 1)  # every crop
    assert (flipped == item['inputs'][:, None, None]).all(-1).all(-1).all(0).any()


def test_plain_folders(tmp_path):
    write_images(tmp_path / 'images', ['b.png', 'a.png'])
    (tmp_path / 'depth').mkdir()
    (tmp_path / 'depth/a.png').write_bytes(encode_png(np.full((6, 10), 1500, np.uint16)))
    np.save(tmp_path / 'depth/b.npy', np.full((6, 10), 2500))
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadTarget', mode='F', rescale_factor=0.001),
        dict(type='PackTargetInputs'),
    ]
    prefix = dict(img_path='images', target_path='depth')
    dataset = build(dict(type='ImageTargetDataset', data_root=str(tmp_path), data_prefix=prefix, pipeline=pipeline))
    samples = [item['data_samples'] for item in dataset]
    assert [float(sample.gt_target.data.unique()) for sample in samples] == [1.5, 2.5]
    assert not any('text' in sample for sample in samples)


@pytest.mark.parametrize('extra_key', ['r', 's'])
def test_albedo_and_shading_of_the_official_tools(tmp_path, extra_key):
    """In one database, with the names up to the first dot as keys; shading is grey."""
    write_images(tmp_path / 'images', ['a.1.png', 'b.png'])
    albedo, shading = np.full((6, 10, 3), (10, 20, 30), np.uint8), np.full((6, 10), 51, np.uint8)
    with new_database(tmp_path, 2**20) as database:
        for stem in 'ab':
            put(database, f'{stem}-r', encode_png(albedo))
            put(database, f'{stem}-s', encode_png(shading))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadTarget'), dict(type='PackTargetInputs')]
    config = dict(
        type='ImageTargetDataset', data_root=str(tmp_path), data_prefix=dict(img_path='images', target_path='')
    )
    dataset = build(dict(config, pipeline=pipeline, target_extra_key=extra_key))
    expected = dict(r=[10, 20, 30], s=[51, 51, 51])[extra_key]
    for item in dataset:
        assert (item['data_samples'].gt_target.data * 255).round()[:, 2, 3].tolist() == expected
    with pytest.raises(ValueError, match="target_extra_key.*'r', 's'"):
        build(config)


def test_depth_of_the_official_tools(tmp_path):
    write_images(tmp_path / 'images', ['a.png'])
    (tmp_path / 'depth').mkdir()
    with new_database(tmp_path / 'depth', 2**20) as database:
        put(database, 'a', encode_npz(x=np.full((6, 10), 2.5)))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadTarget', mode='F'), dict(type='PackTargetInputs')]
    prefix = dict(img_path='images', target_path='depth')
    dataset = build(dict(type='ImageTargetDataset', data_root=str(tmp_path), data_prefix=prefix, pipeline=pipeline))
    assert dataset[0]['data_samples'].gt_target.data.unique() == 2.5


def test_without_targets(tmp_path):
    folder = write_images(tmp_path, ['a.png'], captions=['a box'])
    dataset = ImageTargetDataset(data_prefix=dict(img_path=str(folder)))
    assert dataset[0]['text'] == 'a box' and 'target_path' not in dataset[0]


def test_metadata_elsewhere_choose_the_images(tmp_path):
    write_images(tmp_path / 'images', ['a.png', 'b.png'])
    (tmp_path / 'val.jsonl').write_text(metadata_line('b.png', ['two boxes', 'boxes']))
    dataset = ImageTargetDataset(dict(img_path='images'), 'val.jsonl', data_root=str(tmp_path), test_mode=True)
    assert [(info['img_path'], info['text']) for info in dataset] == [(str(tmp_path / 'images/b.png'), 'two boxes')]


def test_missing_files(tmp_path, toy_root):
    folder = write_images(tmp_path / 'images', ['a.png', 'b.png'], captions=['one', 'two'])
    (tmp_path / 'targets').mkdir()
    (tmp_path / 'targets/a.png').touch()
    for prefix, message in (
        (dict(img_path='nowhere'), 'nowhere is not a folder'),
        (dict(img_path='targets/..'), 'neither metadata.jsonl nor images'),
        (dict(img_path='images', target_path='nowhere'), 'nowhere: no such lmdb or folder of targets'),
        (
            dict(img_path='images', target_path='targets'),
            r"1 of 2 .*targets.* 'b.png'.*'b' or 'b-r' or 'b-s' \(.npz, .npy, .png\).*\['.png'\]",
        ),
        (
            dict(img_path='images', target_path=str(toy_root / 'dmp/targets/train/depth')),
            r"2 of 2 .*depth.* 'a.png'.* entries",
        ),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            ImageTargetDataset(prefix, data_root=str(tmp_path))
    (folder / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b2\b.*images.*'a.png'"):
        ImageTargetDataset(dict(img_path=str(folder)))


def test_files_of_another_suffix(tmp_path):
    folder = write_images(tmp_path / 'images', ['a.PNG'], captions=['one'])
    (tmp_path / 'images/metadata.jsonl').write_text(metadata_line('a.png', 'one'))
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b1\b.*'a\.png'.*\.PNG'\?"):
        ImageTargetDataset(dict(img_path=str(folder)))
    (folder / 'metadata.jsonl').write_text(metadata_line('a.PNG', 'one'))
    (tmp_path / 'depth').mkdir()
    (tmp_path / 'depth/a.tif').touch()
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b1\b.*'a'.*\.npz, \.npy, \.png.*'a\.tif'.*'\.tif'\?"):
        ImageTargetDataset(dict(img_path=str(folder), target_path=str(tmp_path / 'depth')))


@pytest.mark.parametrize('prefix', [dict(), dict(img='a'), dict(img_path='a', targets='b')])
def test_misspelt_prefix(prefix):
    with pytest.raises(ValueError, match='data_prefix.*img_path.*target_path'):
        ImageTargetDataset(prefix)


def test_without_lmdb_only_databases_are_refused(tmp_path, toy_root, monkeypatch):
    folder = write_images(tmp_path / 'images', ['a.png'])
    monkeypatch.setattr('mmdiffperc.generative.target_stores._environments', {})
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    ImageTargetDataset(dict(img_path=str(folder), target_path=str(folder)))
    with pytest.raises(ImportError, match=r"'mmdiffperc\[dmp\]'"):
        ImageTargetDataset(dict(img_path=str(folder), target_path=str(toy_root / 'dmp/targets/val/depth')))


def test_metadata_as_the_toy_writer_has_them(toy_root):
    line = (toy_root / 'dmp/val/metadata.jsonl').read_text().splitlines()[0]
    assert metadata_line(*json.loads(line).values()) == line + '\n'


SIZE = 5, 7


@pytest.mark.parametrize('channels', [(), (1,), (4,)])
def test_images_of_8_bits_become_rgb(results, tmp_path, channels):
    """Grey is repeated, and an alpha channel is dropped."""
    image = np.arange(35 * (channels or (1,))[0], dtype=np.uint8).reshape(*SIZE, *channels)
    np.save(tmp_path / 'a.npy', image)
    expected = image[..., :3] if channels == (4,) else np.stack([image.reshape(SIZE)] * 3, axis=2)
    np.testing.assert_allclose(LoadTarget()(results)['gt_target'] * 255, expected, rtol=1e-6)


@pytest.fixture
def results(tmp_path):
    """Of an image whose target is yet to be written."""
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    shapes = dict(ori_shape=SIZE, img_shape=SIZE)
    return dict(img=image, img_path='a.jpg', target_path=str(tmp_path), target_key='a.jpg', **shapes)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_colours_become_numbers_up_to_1(results, tmp_path, dtype):
    colours = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    if dtype is np.float32:
        (tmp_path / 'a.npz').write_bytes(encode_npz(x=colours))
    else:
        (tmp_path / 'a.png').write_bytes(encode_png((colours * np.iinfo(dtype).max).astype(dtype)))
    target = LoadTarget()(results)['gt_target']
    assert target.dtype == np.float32
    np.testing.assert_allclose(target, colours, atol=0 if dtype is np.float32 else 1 / np.iinfo(dtype).max)
    assert results['seg_fields'] == ['gt_target']


def test_half_precision_is_rescaled_exactly(results, tmp_path):
    """1.5 mm are 0.0015 m, of which half precision would make 0.00150108."""
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=np.full(SIZE, 1.5, np.float16)))
    target = LoadTarget('F', 0.001)(results)['gt_target']
    assert (target == np.float32(0.0015)).all()


@pytest.mark.parametrize('shape', [SIZE, (*SIZE, 1)])
def test_one_channel_of_any_numbers(results, tmp_path, shape):
    depth = np.linspace(-2, 9000, 35).reshape(shape)
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=depth))
    target = LoadTarget('F', 0.001)(results)['gt_target']
    assert target.shape == SIZE and target.dtype == np.float32
    np.testing.assert_allclose(target, depth.reshape(SIZE) / 1000, rtol=1e-6)


def with_one(value, shape):
    """A target that is sound but for one number."""
    target = np.full(shape, 0.5, np.float32)
    target.flat[-2] = value
    return target


@pytest.mark.parametrize(
    ('mode', 'target', 'message'),
    [
        ('RGB', np.ones(SIZE), r"mode='RGB'.*3\).*float64.*\(5, 7\)"),
        ('RGB', np.ones(SIZE, np.uint16), r"mode='RGB'.*uint16.*\(5, 7\)"),
        ('RGB', np.ones((*SIZE, 4)), r"mode='RGB'.*\(5, 7, 4\)"),
        ('F', np.ones((*SIZE, 3)), r"mode='F'.*1\)"),
        ('F', np.full(SIZE, 'far'), '<U3'),
        ('F', np.ones(SIZE, np.int8), "mode='F'.*int8"),
        ('F', np.full(SIZE, -1e8), r'1e\+08.*16777216'),
        ('RGB', np.ones((*SIZE, 3), np.int8), "mode='RGB'.*int8"),
        ('RGB', np.ones((*SIZE, 3), np.int32), 'int32'),
        ('F', with_one(np.nan, SIZE), r'\b1\b.*\b35\b.*NaN'),
        ('F', with_one(-np.inf, SIZE), r'\b1\b.*\b35\b.*infinite'),
        ('F', with_one(np.inf, SIZE).astype(np.float16), r'\b1\b.*\b35\b.*infinite'),
        ('F', np.full(SIZE, np.inf), r'\b35\b.*\b35\b.*infinite'),
        ('F', np.full(SIZE, 1e39), r'1e\+39.*16777216'),
        ('RGB', with_one(np.nan, (*SIZE, 3)), r'\b1\b.*\b105\b.*NaN'),
        ('RGB', with_one(np.inf, (*SIZE, 3)), r'\b1\b.*\b105\b.*infinite'),
        ('RGB', with_one(-np.inf, (*SIZE, 3)), r'\b1\b.*\b105\b.*infinite'),
        ('RGB', np.full((*SIZE, 3), -0.5), r'RGB.*\[0, 1\].*-0.5.*-0.5'),
        ('F', np.ones((7, 5)), r'\(7, 5\).*a.jpg.*\(5, 7\)'),
    ],
)
def test_unsuitable_target_is_named(results, tmp_path, mode, target, message):
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=target))
    with pytest.raises(ValueError, match=f'a.npz.*{message}') as error:
        LoadTarget(mode)(results)
    if 'infinite' in message:
        assert 'rescale_factor' not in str(error.value) and 'normals' not in str(error.value)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('store', ['npy', 'tiff', 'lmdb'])
def test_one_number_that_is_not_finite(results, tmp_path, store, value):
    """In files of every kind; OpenCV and Pillow read TIFF of single precision, whatever its name."""
    target = with_one(value, SIZE)
    name = 'a.npy' if store == 'npy' else 'a.png'
    if store == 'npy':
        np.save(tmp_path / name, target)
    elif store == 'tiff':
        (tmp_path / name).write_bytes(cv2.imencode('.tiff', target)[1].tobytes())
    else:
        with new_database(tmp_path / 'db', 2**20) as database:
            put(database, 'a.jpg', encode_npz(x=target))
        results['target_path'], name = str(tmp_path / 'db'), "db, entry 'a.jpg'"
    with pytest.raises(ValueError, match=f'{name}.*(NaN|inf)'):
        LoadTarget('F')(results)


def test_corrupt_target_is_named(results, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match='a.png'):
        LoadTarget()(results)


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(mode='L'), "mode='L'.*'RGB'.*'F'"), (dict(rescale_factor=0.5), 'rescale_factor=0.5')],
)
def test_bad_configuration(options, message):
    with pytest.raises(ValueError, match=message):
        LoadTarget(**options)


def test_ones_own_image(results):
    del results['target_path']
    assert 'gt_target' not in LoadTarget()(results)
    assert 'gt_target' not in PackTargetInputs()(results)['data_samples']


def test_pack(results):
    results |= dict(text='a box', gt_target=np.arange(35, dtype=np.float32).reshape(SIZE), scale=3)
    packed = PackTargetInputs()(results)
    assert (packed['inputs'].numpy() == results['img'].transpose(2, 0, 1)).all()
    sample = packed['data_samples']
    assert (sample.gt_target.data.numpy() == results['gt_target'][None]).all()
    assert sample.text == 'a box' and sample.img_shape == SIZE and 'scale' not in sample


@pytest.mark.parametrize(('mode', 'scale'), [('RGB', 1.0), ('F', 8.0), ('F', 'per_image')])
def test_what_the_model_trains_on(results, tmp_path, mode, scale):
    """A target that is the same everywhere, whose minimum and maximum are equal, gives a finite loss."""
    init_default_scope('mmseg')
    shape = (*SIZE, 3) if mode == 'RGB' else SIZE
    (tmp_path / 'a.png').write_bytes(encode_png(np.full(shape, 200, np.uint8)))
    load, pack = (TRANSFORMS.build(cfg) for cfg in (dict(type='LoadTarget', mode=mode), dict(type='PackTargetInputs')))
    packed = pack(load(results))
    init_cfg = dict(type='Pretrained', checkpoint='tiny-sd')
    model = DeterministicDiffusion(
        'tiny-sd', use_prompts=False, target_mode=mode, target_scale=scale, init_cfg=init_cfg
    )
    model.init_weights()
    batch = model.data_preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), True)
    assert torch.isfinite(model(**batch, mode='loss')['loss_latents'])
