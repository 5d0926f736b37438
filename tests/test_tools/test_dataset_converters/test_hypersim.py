"""Toy scenes in the files of Hypersim, an eighth as large."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypersim import main, tone_map
from mmengine.registry import init_default_scope

from mmdiffperc.evaluation.normals import angles_between
from mmdiffperc.generative import ListedTargetDataset
from mmdiffperc.generative.data.published_targets import hypersim_camera
from mmdiffperc.toy_scenes.render import render
from mmdiffperc.toy_scenes.writers import make_sample

SIZE = 96, 128
HEADER = 'scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name'
ROWS = [
    'ai_001_001,cam_00,0,True,,train',
    'ai_001_001,cam_00,1,False,black,train',
    'ai_001_002,cam_01,12,True,,train',
    'ai_003_001,cam_00,0,True,,val',
]
HIDDEN = slice(10, 20), slice(30, 40)  # no surface


@pytest.fixture(scope='module')
def scenes(toy_spec):
    def seen(index):
        scene = make_sample(toy_spec, 'train', index).rendering.scene
        return render(replace(scene, camera=replace(scene.camera, focal=886.81 / 768)), SIZE)

    return {('ai_001_001', 'cam_00', 0): seen(0), ('ai_001_002', 'cam_01', 12): seen(1)}


def write(folder, scene, camera, frame, kind, array):
    file = folder / scene / f'images/scene_{camera}_{"final" if kind == "color" else "geometry"}_hdf5'
    file.mkdir(parents=True, exist_ok=True)
    with h5py.File(file / f'frame.{frame:04d}.{kind}.hdf5', 'w') as content:
        content['dataset'] = array


@pytest.fixture
def arguments(tmp_path, scenes):
    for place, rendering in scenes.items():
        entities = np.ones(SIZE, np.int16)
        entities[HIDDEN] = -1
        distance = rendering.depth * np.linalg.norm(hypersim_camera(SIZE).rays(*SIZE), axis=-1)
        distance[0, :9], distance[0, 9:12] = np.nan, 90
        turned = rendering.normals * np.where(np.indices(SIZE).sum(0) % 5, 1, -1)[..., None]
        turned[1, :9] = 0
        for kind, array in (
            ('color', (rendering.image / 255) ** 2.2 * 3),
            ('depth_meters', distance),
            ('normal_cam', turned),
            ('render_entity_id', entities),
        ):
            write(tmp_path / 'raw', *place, kind, array.astype(np.int16 if kind == 'render_entity_id' else np.float16))
    (tmp_path / 'split.csv').write_text('\n'.join([HEADER, *ROWS]))
    places = ['--raw', str(tmp_path / 'raw'), '--out', str(tmp_path / 'out')]
    return [*places, '--split-csv', str(tmp_path / 'split.csv'), '--partitions', 'train']


def read(out, kind):
    """What the data set reads."""
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadPublishedTarget', format=f'hypersim_{kind}')]
    return list(ListedTargetDataset(ann_file=f'train_{kind}.txt', data_root=str(out), pipeline=pipeline))


def test_data_set_reads_what_is_written(tmp_path, arguments, scenes, capsys):
    assert main(arguments) == 0
    assert 'complete, 8 new files' in capsys.readouterr().out
    frames = zip(read(tmp_path / 'out', 'depth'), read(tmp_path / 'out', 'normals'), scenes.items(), strict=True)
    for depth, normals, ((scene, camera, number), rendering) in frames:
        assert depth['img_path'] == str(tmp_path / f'out/train/{scene}/rgb_{camera}_fr{number:04d}.png')
        known = np.ones(SIZE, bool)
        known[HIDDEN] = False
        has_depth, has_normal = known.copy(), known.copy()
        has_depth[0, :12], has_normal[1, :9] = False, False
        assert (depth['gt_valid'] == has_depth).all() and (normals['gt_valid'] == has_normal).all()
        assert abs(depth['gt_target'] - rendering.depth)[has_depth].max() < 5e-3  # half precision
        found, true = normals['gt_target'][has_normal], rendering.normals[has_normal]
        assert angles_between(found.T.astype(float), true.T.astype(float)).max() < 0.1
        # The radiance is the image without its gamma, so the tone map scales it alone.
        picture, image = depth['img'][..., ::-1].astype(float), rendering.image.astype(float)
        dark = image.max(-1) < 128
        np.testing.assert_allclose(picture[dark], image[dark] * np.median(picture[dark] / image[dark]), atol=1.5)


def test_tone_map():
    """Of the grey values 0 to 10, the 90 % quantile is 9; its brightness becomes 0.8."""
    colours = np.repeat(np.arange(11.0).reshape(1, 11, 1), 3, axis=2)
    mapped = tone_map(colours, np.ones((1, 11), bool))[0, :, 0]
    expected = [0, *((0.8**2.2 * grey / 9) ** (1 / 2.2) for grey in range(1, 11))]
    assert mapped == pytest.approx(expected) and mapped[9] == pytest.approx(0.8)
    hidden = np.arange(11)[None] < 6  # the quantile of 0 to 5 is 4.5
    assert tone_map(colours, hidden)[0, 9].tolist() == [1, 1, 1]
    assert tone_map(colours / 1e5, hidden).max() == 0  # too dark to be lifted
    assert tone_map(colours / 20, np.zeros((1, 11), bool))[0, 5, 0] == pytest.approx(0.25 ** (1 / 2.2))


def test_scenes_and_continuing(tmp_path, arguments, capsys):
    assert main([*arguments, '--scenes', 'ai_001_002']) == 0
    assert 'complete, 5 new files' in capsys.readouterr().out
    assert len(read(tmp_path / 'out', 'depth')) == 1
    (tmp_path / 'out').rename(tmp_path / 'out.part')
    (tmp_path / 'out.part/train/ai_001_002/rgb_cam_01_fr0012.png').unlink()
    assert main([*arguments, '--scenes', 'ai_001_002']) == 0
    assert 'complete, 1 new files' in capsys.readouterr().out


def spoil_axes(folder):
    """Normals of another renderer: x points left."""
    for file in folder.rglob('*normal_cam.hdf5'):
        with h5py.File(file, 'r+') as content:
            content['dataset'][:] = content['dataset'][:] * np.array([-1, 1, 1])


@pytest.mark.parametrize(
    ('spoil', 'options', 'message'),
    [
        (lambda folder: shutil.rmtree(folder / 'raw/ai_001_002'), [], '4 of 8'),
        (lambda folder: None, ['--partitions', 'val'], 'frame.0000.color.hdf5. If'),
        (lambda folder: None, ['--scenes', 'ai_009_001'], "'ai_009_001'"),
        (lambda folder: (folder / 'split.csv').write_text('scene_name,camera_name\n'), [], 'frame_id'),
        (lambda folder: (folder / 'split.csv').write_text(HEADER), [], 'no frames'),
        (spoil_axes, [], 'LUB'),
    ],
)
def test_bad_input(tmp_path, arguments, capsys, spoil, options, message):
    spoil(tmp_path)
    assert main([*arguments, *options]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not list(tmp_path.glob('out*'))
