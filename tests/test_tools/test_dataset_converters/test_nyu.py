import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from mmengine.registry import init_default_scope
from mmseg.datasets import NYUDataset
from nyu import main

SCENES = ['kitchen', 'living_room', 'bathroom', 'kitchen']
DEPTH = np.linspace(0, 9.9996, 480 * 640).reshape(480, 640).astype(np.float32)


@pytest.fixture
def labelled(tmp_path):
    """Four images in the layout of the official file: HDF5 as MATLAB writes it, which reverses all axes."""
    images = np.zeros((4, 480, 640, 3), np.uint8)
    images[..., 0] = np.arange(4)[:, None, None] * 60  # red
    images[..., 2] = 200
    with h5py.File(tmp_path / 'labeled.mat', 'w') as file:
        file['images'] = images.transpose(0, 3, 2, 1)
        file['rawDepths'] = np.stack([(DEPTH + index).clip(0, 9.9996) for index in range(4)]).transpose(0, 2, 1)
        names = file.create_dataset('sceneTypes', (1, 4), h5py.ref_dtype)
        for index, scene in enumerate(SCENES):
            file[f'#refs#/{index}'] = np.array([[ord(letter)] for letter in scene], np.uint16)
            names[0, index] = file[f'#refs#/{index}'].ref
    scipy.io.savemat(tmp_path / 'splits.mat', dict(trainNdxs=[[2], [4]], testNdxs=[[1], [3]]))
    return ['--labelled', str(tmp_path / 'labeled.mat'), '--splits', str(tmp_path / 'splits.mat')]


@pytest.fixture
def sync(tmp_path):
    """Frames as BTS distributes them; one has no depth."""
    for scene in ('kitchen_0028b', 'study_room_0004'):
        folder = tmp_path / 'sync' / scene
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / 'rgb_00045.jpg'), np.full((480, 640, 3), 90, np.uint8))
        cv2.imwrite(str(folder / 'sync_depth_00045.png'), np.full((480, 640), 2345, np.uint16))
    (tmp_path / 'train_list.txt').write_text(
        '/kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579\n'
        'bathroom_0001/rgb_00000.jpg None 518.8579\n'
        'study_room_0004/rgb_00045.jpg study_room_0004/sync_depth_00045.png\n'
    )
    return ['--sync', str(tmp_path / 'sync'), '--train-list', str(tmp_path / 'train_list.txt')]


def read(out, phase):
    """What mmseg reads."""
    init_default_scope('mmseg')
    prefix = dict(img_path=f'images/{phase}', depth_map_path=f'annotations/{phase}')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)]
    dataset = NYUDataset(data_root=str(out), data_prefix=prefix, pipeline=pipeline)
    classes = dataset.metainfo['classes']
    return {frame['img_path'].split('/')[-1]: (classes[frame['category_id']], frame) for frame in dataset}


def test_labelled_set(tmp_path, labelled, capsys):
    assert main(['--out', str(tmp_path / 'out'), *labelled]) == 0
    assert 'complete, 8 new files' in capsys.readouterr().out
    train, test = read(tmp_path / 'out', 'train'), read(tmp_path / 'out', 'test')
    assert [name for name in train] == ['kitchen_00003.jpg', 'living_room_00001.jpg']
    assert [scene for scene, _ in test.values()] == ['bathroom', 'kitchen']
    frame = test['bathroom_00002.jpg'][1]
    expected = np.floor((DEPTH + 2).clip(0, 9.9996).astype(np.float32) * 1000) / 1000
    np.testing.assert_allclose(frame['gt_depth_map'], expected, atol=1e-5)
    # BGR; JPEG is not exact. The frame is black, as in the images of the official code.
    np.testing.assert_allclose(frame['img'][240, 320], [200, 0, 120], atol=4)
    assert frame['img'][:4].max() < 10 and frame['img'][:, 636:].max() < 10
    np.testing.assert_allclose(frame['img'][10, 12], [200, 0, 120], atol=25)


def test_sync_frames_replace_the_labelled_training_images(tmp_path, labelled, sync):
    assert main(['--out', str(tmp_path / 'out'), *labelled, *sync]) == 0
    train = read(tmp_path / 'out', 'train')
    assert {name: scene for name, (scene, _) in train.items()} == {
        'kitchen_0028b_00045.jpg': 'kitchen',
        'study_room_0004_00045.jpg': 'study_room',
    }
    assert np.unique(train['kitchen_0028b_00045.jpg'][1]['gt_depth_map']).tolist() == [pytest.approx(2.345)]
    assert len(read(tmp_path / 'out', 'test')) == 2


def test_second_run_finds_it_complete(tmp_path, sync, capsys):
    arguments = ['--out', str(tmp_path / 'out'), *sync]
    assert main(arguments) == main(arguments) == 0
    assert 'already there' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'nyu_depth_v2_labeled.mat'),
        (dict(images=[0]), 'rawDepths, sceneTypes'),
    ],
)
def test_another_file(tmp_path, labelled, capsys, content, message):
    path = tmp_path / 'labeled.mat'
    path.write_bytes(b'MATLAB 5.0 MAT-file')
    if content:
        with h5py.File(path, 'w') as file:
            file.update(content)
    assert main(['--out', str(tmp_path / 'out'), *labelled]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('content', [None, b'', b'garbage' * 50])
def test_splits_that_cannot_be_read(tmp_path, labelled, capsys, content):
    path = tmp_path / 'splits.mat'
    path.unlink() if content is None else path.write_bytes(content)
    assert main(['--out', str(tmp_path / 'out'), *labelled]) == 1
    assert 'splits.mat' in capsys.readouterr().err
    assert not list(tmp_path.glob('out*'))


def test_list_that_is_no_text(tmp_path, sync, capsys):
    (tmp_path / 'train_list.txt').write_bytes(bytes(range(256)))
    assert main(['--out', str(tmp_path / 'out'), *sync]) == 1
    error = capsys.readouterr().err
    assert 'train_list.txt' in error and 'image target [mask or focal length]' in error


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('a/rgb_00001.jpg b/sync_depth_00001.png', 'got a/rgb_00001.jpg b/sync_depth_00001.png'),
        ('a/1.jpg a/1.png', 'expected <scene>/rgb_<n>.jpg <scene>/sync_depth_<n>.png'),
        ('a/rgb_00001.jpg a/sync_depth_00001.png', '2 of 2'),
    ],
)
def test_bad_list(tmp_path, sync, capsys, line, message):
    (tmp_path / 'train_list.txt').write_text(line)
    assert main(['--out', str(tmp_path / 'out'), *sync]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('arguments', [[], ['--labelled', 'x.mat'], ['--sync', 'x'], ['--train-list', 'x.txt']])
def test_arguments_that_do_not_fit(arguments, capsys):
    with pytest.raises(SystemExit):
        main(['--out', 'out', *arguments])
    assert 'error: ' in capsys.readouterr().err
