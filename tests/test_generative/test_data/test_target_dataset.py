import json
import pickle
import sys

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import DataLoader

from mmdiffperc.generative import ImageTargetDataset
from mmdiffperc.generative.data.target_stores import new_database, put
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


def test_masks_and_depth(tmp_path):
    """The mask excludes a pixel; the depth of a floor contradicts normals that point down."""
    write_images(tmp_path / 'images', ['a.png'])
    normals = np.full((6, 10, 3), [0, -0.9, 0.435889894])
    mask = np.ones((6, 10), bool)
    mask[2, 3] = False
    depth = np.repeat(np.geomspace(8, 2, 6)[:, None], 10, axis=1)
    for kind, array in dict(target=normals, mask=mask, depth=depth).items():
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / 'a.npy', array)
    prefix = dict(img_path='images', target_path='target', mask_path='mask', depth_path='depth')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadTarget', mode='normals'),
        dict(type='PackTargetInputs'),
    ]
    config = dict(type='ImageTargetDataset', data_root=str(tmp_path), data_prefix=prefix, pipeline=pipeline)
    with pytest.warns(UserWarning, match="a.npy.*'RUB'.*depth.*'RDB'"):
        sample = build(config)[0]['data_samples']
    assert (sample.gt_valid.data[0].numpy() == mask).all()
    (tmp_path / 'mask/a.npy').unlink()
    with pytest.raises(FileNotFoundError, match='mask'):
        build(config)


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
    monkeypatch.setattr('mmdiffperc.generative.data.target_stores._environments', {})
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    ImageTargetDataset(dict(img_path=str(folder), target_path=str(folder)))
    with pytest.raises(ImportError, match=r"'mmdiffperc\[dmp\]'"):
        ImageTargetDataset(dict(img_path=str(folder), target_path=str(toy_root / 'dmp/targets/val/depth')))


def test_metadata_as_the_toy_writer_has_them(toy_root):
    line = (toy_root / 'dmp/val/metadata.jsonl').read_text().splitlines()[0]
    assert metadata_line(*json.loads(line).values()) == line + '\n'
