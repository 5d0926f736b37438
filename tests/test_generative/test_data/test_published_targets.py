"""Toy scenes, whose depth and normals are exact, in the files of each data set."""

import io
import struct
import sys
from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
import torch
from mmengine.registry import init_default_scope

from mmdiffperc.evaluation.normals import angles_between
from mmdiffperc.generative import ListedTargetDataset, LoadPublishedTarget
from mmdiffperc.generative.data.published_targets import FORMATS
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.toy_scenes.render import render
from mmdiffperc.toy_scenes.writers import make_sample

# Sizes and focal lengths of Hypersim's and Virtual KITTI 2's images, scaled to an eighth and a third.
HYPERSIM, VIRTUAL_KITTI = ((96, 128), 886.81 / 768), ((125, 414), 725.0087 / 375)
HIDDEN = slice(3, 9), slice(5, 25)  # what no file knows


@pytest.fixture(scope='module')
def renderings(toy_spec):
    scene = make_sample(toy_spec, 'train', 0).rendering.scene

    def seen(size, focal):
        return render(replace(scene, camera=replace(scene.camera, focal=focal)), size)

    hypersim, virtual_kitti = seen(*HYPERSIM), seen(*VIRTUAL_KITTI)
    return {name: virtual_kitti if name.startswith('virtual') else hypersim for name in FORMATS}


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def hdf5(array):
    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        file['dataset'] = array.astype(np.float16)
    return content.getvalue()


def hidden(array, value):
    array = array.copy()
    array[HIDDEN] = value
    return array


def integers(depth, unit, value=0):
    return encode_png(hidden(np.round(depth / unit), value).astype(np.uint16))


def picture(normals, dtype):
    return encode_png(hidden(np.round((normals + 1) / 2 * np.iinfo(dtype).max), 0).astype(dtype))


def distance(rendering):
    """From the camera, by Hypersim's focal length."""
    y, x = np.indices(rendering.depth.shape)
    u, v, focal = 8 * x + 4 - 512, 8 * y + 4 - 384, 886.81
    return rendering.depth * np.sqrt(u**2 + v**2 + focal**2) / focal


def turned(normals):
    """Some of Hypersim's normals point away from the camera."""
    return normals * np.where(np.indices(normals.shape[:2]).sum(0) % 3, 1, -1)[..., None]


def mat(rendering):
    content, shown = io.BytesIO(), np.ones_like(rendering.depth)
    shown[3:9, 5:15] = 0
    transparent = np.ones_like(shown)
    transparent[3:9, 15:25] = 0
    scipy.io.savemat(content, dict(data=dict(depth=rendering.depth, mask_invalid=shown, mask_transp=transparent)))
    return content.getvalue()


def dpt(depth):
    return b'PIEH' + struct.pack('<2i', *depth.shape[::-1]) + depth.astype('<f4').tobytes()


def rotated(scene):
    """Millimetres whose three highest bits are written as the lowest."""
    millimetres = cv2.imdecode(np.frombuffer(integers(scene.depth, 1e-3), np.uint8), cv2.IMREAD_UNCHANGED)
    return encode_png((millimetres << 3) | (millimetres >> 13))


# The content of a file, and how exact it is: metres, or degrees.
FILES = {
    'diode_depth': (lambda scene: npy(hidden(scene.depth, 0)[..., None]), 1e-6),
    'dsine_normals': (lambda scene: picture(scene.normals * (-1, 1, 1), np.uint8), 0.5),
    'eth3d_depth': (lambda scene: hidden(scene.depth, np.inf).astype('<f4').tobytes(), 1e-6),
    'hypersim_depth': (lambda scene: hdf5(hidden(distance(scene), np.nan)), 4e-3),
    'hypersim_normals': (lambda scene: hdf5(hidden(turned(scene.normals), np.nan)), 0.1),
    'ibims_depth': (mat, 1e-6),
    'kitti_depth': (lambda scene: integers(scene.depth, 1 / 256), 1 / 512),
    'marigold_normals': (lambda scene: npy(hidden(scene.normals, 0)), 1e-3),
    'nyu_depth': (lambda scene: integers(scene.depth, 1e-3), 5.1e-4),
    'scannet_depth': (lambda scene: integers(scene.depth, 1e-3), 5.1e-4),
    'sintel_depth': (lambda scene: dpt(hidden(scene.depth, -1)), 1e-6),
    'sun_depth': (rotated, 5.1e-4),
    'virtual_kitti_depth': (lambda scene: integers(scene.depth, 1e-2, 65535), 5.1e-3),
    'virtual_kitti_normals': (lambda scene: integers(scene.depth, 1e-2, 65535), None),
}
CONVERTED = {
    'hypersim_depth': (lambda scene: integers(scene.depth, 1e-3), 5.1e-4),
    'hypersim_normals': (lambda scene: picture(scene.normals, np.uint16), 0.01),
    'virtual_kitti_normals': (lambda scene: picture(scene.normals, np.uint16), 0.01),
}
CASES = [*FILES.items(), *CONVERTED.items()]


def load(tmp_path, name, content, size, mask=None, **options):
    (tmp_path / 'target').write_bytes(content)
    results = dict(target_path=str(tmp_path), target_key='target', ori_shape=size, img_path='a.png')
    if mask is not None:
        (tmp_path / 'mask.png').write_bytes(mask)
        results.update(mask_path=str(tmp_path), mask_key='mask.png')
    return LoadPublishedTarget(name, **options)(results)


@pytest.mark.parametrize(('name', 'case'), CASES, ids=[f'{name}-{n}' for n, (name, _) in enumerate(CASES)])
def test_reading_gives_the_truth(tmp_path, renderings, name, case):
    scene, (write, tolerance) = renderings[name], case
    results = load(tmp_path, name, write(scene), scene.depth.shape)
    target, valid = results['gt_target'], results['gt_valid']
    expected = np.ones_like(scene.depth)
    expected[HIDDEN] = 0
    assert target.dtype == np.float32 and valid.dtype == np.uint8 and (valid == expected).all()
    assert (target[HIDDEN] == 0).all() and results['seg_fields'] == ['gt_target', 'gt_valid']
    known = valid > 0
    if name.endswith('depth'):
        assert abs(target - scene.depth)[known].max() <= tolerance
        return
    np.testing.assert_allclose(np.linalg.norm(target[known], axis=-1), 1, atol=1e-6)
    angles = angles_between(target[known].T.astype(float), scene.normals[known].T.astype(float))
    if tolerance is None:  # derived from depth in whole centimetres
        assert np.median(angles) < 7 and (target[known] * scene.normals[known]).sum(-1).mean() > 0.98
    else:
        assert angles.max() <= tolerance


def test_targets_in_a_training_pipeline(tmp_path, renderings):
    """They are resized, cropped and flipped with the image, whose red and green channels are their x and y."""
    scene = renderings['dsine_normals']
    (tmp_path / 'normals.png').write_bytes(picture(scene.normals * (-1, 1, 1), np.uint8))
    (tmp_path / 'image.png').write_bytes(picture(scene.normals, np.uint8))
    (tmp_path / 'split.txt').write_text('image.png normals.png')
    init_default_scope('mmseg')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPublishedTarget', format='dsine_normals'),
        dict(type='Resize', scale=(64, 48), interpolation='nearest'),
        dict(type='RandomCrop', crop_size=(40, 50)),
        dict(type='RandomFlip', prob=1.0),
        dict(type='PackTargetInputs'),
    ]
    (packed,) = ListedTargetDataset(ann_file='split.txt', data_root=str(tmp_path), pipeline=pipeline)
    sample = packed['data_samples']
    assert sample.gt_target.data.shape == (3, 40, 50) and sample.gt_valid.data.dtype == torch.bool
    known = sample.gt_valid.data[0]
    seen = (packed['inputs'].flip(0).float() / 127.5 - 1)[:, known]
    seen[0] *= -1  # of the mirrored scene
    torch.testing.assert_close(sample.gt_target.data[:, known], seen, atol=0.02, rtol=0)
    assert 0 < known.float().mean() <= 1 and (sample.gt_target.data[:, ~known] == 0).all()


def test_every_format_is_tested():
    assert FILES.keys() == FORMATS.keys()


def test_masks_and_a_range(tmp_path):
    depth, mask = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[1, 0, 1], [1, 1, 1]])
    for content in (npy(mask), npy(mask[..., None] > 0), encode_png((mask * 255).astype(np.uint8))):
        results = load(tmp_path, 'diode_depth', npy(depth), (2, 3), content, valid_range=(3, 5))
        assert results['gt_valid'].tolist() == [[0, 0, 1], [1, 1, 0]]
        assert results['gt_target'].tolist() == [[0, 0, 3], [4, 5, 0]]


def test_without_a_target():
    assert LoadPublishedTarget('nyu_depth')(dict(ori_shape=(2, 3))) == dict(ori_shape=(2, 3))


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('content', [b'', b'PIEH', b'\x89HDF\r\n\x1a\n' + bytes(90), b'MATLAB 5.0 MAT-file', bytes(23)])
def test_damaged_files(tmp_path, name, content):
    with pytest.raises(ValueError, match=str(tmp_path / 'target')):
        load(tmp_path, name, content, (2, 3))


@pytest.mark.parametrize('name', FORMATS)
def test_another_format(tmp_path, name):
    """Such as a picture of the target."""
    with pytest.raises(ValueError, match=str(tmp_path / 'target')):
        load(tmp_path, name, encode_png(np.full((4, 6), 90, np.uint8)), (4, 6))


def test_sizes(tmp_path):
    depth = np.ones((4, 6))
    for content, mask, file in ((npy(depth.T), None, 'target'), (npy(depth), npy(depth[1:]), 'mask.png')):
        with pytest.raises(ValueError, match=rf'{tmp_path / file}.*\(\d, \d\).*\(4, 6\)'):
            load(tmp_path, 'diode_depth', content, (4, 6), mask)


def test_a_huge_array_is_not_read(tmp_path):
    content = io.BytesIO()
    with h5py.File(content, 'w') as file:
        file.create_dataset('dataset', (20_000, 20_000), np.float32, chunks=True)
    with pytest.raises(ValueError, match='1600000000 bytes'):
        load(tmp_path, 'hypersim_depth', content.getvalue(), (20_000, 20_000))


@pytest.mark.parametrize(('package', 'name'), [('h5py', 'hypersim_depth'), ('scipy.io', 'ibims_depth')])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, renderings, package, name):
    content = FILES[name][0](renderings[name])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}.*pip install'):
        load(tmp_path, name, content, HYPERSIM[0])


def test_a_range_is_for_depth():
    with pytest.raises(ValueError, match=r"valid_range=\(1, 2\).*'dsine_normals'"):
        LoadPublishedTarget('dsine_normals', valid_range=(1, 2))
    with pytest.raises(ValueError, match=r'valid_range=\(80, 1\)'):
        LoadPublishedTarget('nyu_depth', valid_range=(80, 1))
