"""A toy scene in the files of Virtual KITTI 2, a third as large."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from virtual_kitti import main

from mmdiffperc.evaluation.normals import angles_between
from mmdiffperc.generative import ListedTargetDataset
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.toy_scenes.render import render
from mmdiffperc.toy_scenes.writers import make_sample

SIZE = 125, 414
SKY = slice(0, 20)


@pytest.fixture(scope='module')
def scene(toy_spec):
    scene = make_sample(toy_spec, 'train', 2).rendering.scene
    return render(replace(scene, camera=replace(scene.camera, focal=725.0087 / 375)), SIZE)


@pytest.fixture
def arguments(tmp_path, scene):
    for camera in ('Camera_0', 'Camera_1'):
        for kind, suffix in (('rgb', 'jpg'), ('depth', 'png')):
            folder = tmp_path / f'raw/vkitti_2.0.3_{kind}/Scene06/fog/frames/{kind}/{camera}'
            folder.mkdir(parents=True)
            if kind == 'rgb':
                cv2.imwrite(str(folder / f'rgb_00003.{suffix}'), scene.image[..., ::-1])
                continue
            depth = np.round(100 * scene.depth).astype(np.uint16)
            depth[SKY] = 65535
            (folder / 'depth_00003.png').write_bytes(encode_png(depth))
    places = ['--raw', str(tmp_path / 'raw'), '--out', str(tmp_path / 'out')]
    return [*places, '--scenes', 'Scene06', '--variations', 'fog']


def read(out, kind):
    """What the data set reads."""
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadPublishedTarget', format=f'virtual_kitti_{kind}')]
    return list(ListedTargetDataset(ann_file=f'{kind}.txt', data_root=str(out), pipeline=pipeline))


def test_data_set_reads_what_is_written(tmp_path, arguments, scene, capsys):
    assert main(arguments) == 0
    assert 'complete, 8 new files' in capsys.readouterr().out
    depth, normals = read(tmp_path / 'out', 'depth'), read(tmp_path / 'out', 'normals')
    assert len(depth) == len(normals) == 2
    assert depth[1]['img_path'] == str(tmp_path / 'out/Scene06/fog/Camera_1/rgb_00003.jpg')
    for targets in (depth[0], normals[0]):
        assert targets['img'].shape == (*SIZE, 3)
        assert not targets['gt_valid'][SKY].any() and targets['gt_valid'][20:].all()
    assert abs(depth[0]['gt_target'] - scene.depth)[20:].max() <= 5.1e-3
    angles = angles_between(
        normals[0]['gt_target'][20:].reshape(-1, 3).T.astype(float), scene.normals[20:].reshape(-1, 3).T.astype(float)
    )
    assert np.median(angles) < 8  # depth is in whole centimetres


def test_normals_are_those_derived_while_loading(tmp_path, arguments):
    assert main(arguments) == 0
    (tmp_path / 'out/depth.txt').rename(tmp_path / 'out/normals.txt')  # of the same images, with depth
    loaded = read(tmp_path / 'out', 'normals')[0]['gt_target']
    written = cv2.imread(str(tmp_path / 'out/Scene06/fog/Camera_0/normal_00003.png'), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16 and (written[SKY] == 0).all()
    np.testing.assert_allclose(written[20:, :, ::-1] / 32767.5 - 1, loaded[20:], atol=5e-5)


def test_continues(tmp_path, arguments, capsys):
    assert main(arguments) == main(arguments) == 0
    assert 'already there' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('absent', 'message'), [('*depth_00003.png', '1 of 2'), ('*rgb_00003.jpg', 'Camera_0/rgb_00000.jpg.*--variations')]
)
def test_missing_files(tmp_path, arguments, capsys, absent, message):
    for file in (tmp_path / 'raw').rglob(absent):
        if absent.endswith('jpg') or 'Camera_1' in str(file):
            file.unlink()
    assert main(arguments) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob('out*'))
