from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope
from mmseg.registry import DATASETS

import mmdiffperc.seg  # noqa: F401  (registers the data set)

CONFIG = Path(__file__).parents[3] / 'configs/_base_/datasets/kitti_eigen_352x1216.py'
DRIVES = ['2011_09_26_drive_0002_sync', '2011_09_29_drive_0071_sync']
NUMBER = '0000000069.png'
HEIGHT, WIDTH = 360, 1230


def image_of(drive):
    return f'{drive[:10]}/{drive}/image_02/data/{NUMBER}'


def depth_of(drive):
    return f'{drive}/proj_depth/groundtruth/image_02/{NUMBER}'


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


@pytest.fixture
def kitti(tmp_path):
    """Two frames of one number. Blue tells the column, green the row; depth is blue plus one, in metres."""
    init_default_scope('mmseg')
    rows, columns = np.indices((HEIGHT, WIDTH)) % 64
    for drive in DRIVES:
        write(tmp_path / 'images' / image_of(drive), np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8))
        write(tmp_path / 'annotations' / depth_of(drive), (256 * (columns + 1)).astype(np.uint16))
    return tmp_path


def build(root, *lines, **arguments):
    (root / 'split.txt').write_text('\n'.join(lines) + '\n')
    return DATASETS.build(dict(type='KITTIDepthDataset', data_root=str(root), ann_file='split.txt', **arguments))


def test_split_file_of_bts(kitti):
    lines = [f'{image_of(drive)} {depth_of(drive)} 721.5377' for drive in reversed(DRIVES)]
    without_depth = f'{image_of("2011_09_26_drive_0117_sync")} None 721.5377'
    dataset = build(kitti, lines[0], without_depth, '', lines[1], test_mode=True)
    assert len(dataset) == 2
    frame = dataset.get_data_info(0)
    assert frame['img_path'] == str(kitti / 'images' / image_of(DRIVES[1]))
    assert frame['depth_map_path'] == str(kitti / 'annotations' / depth_of(DRIVES[1]))
    assert frame['category_id'] == 0 and dataset.metainfo['classes'] == ('street',)
    names = [dataset.get_data_info(index)['sample_name'] for index in range(2)]
    assert names == ['2011_09_29_drive_0071_sync_image_02_0000000069', '2011_09_26_drive_0002_sync_image_02_0000000069']


def test_split_file_of_vpd(kitti):
    """Leading slashes, no focal length, folders within the lines."""
    line = f'/images/{image_of(DRIVES[0])} /annotations/{depth_of(DRIVES[0])}'
    dataset = build(kitti, line, data_prefix=dict(img_path='', depth_map_path=''))
    assert dataset.get_data_info(0)['img_path'] == str(kitti / 'images' / image_of(DRIVES[0]))
    assert dataset.get_data_info(0)['sample_name'] == f'{DRIVES[0]}_image_02_0000000069'


def test_missing_split_file(kitti):
    with pytest.raises(FileNotFoundError, match=r'absent\.txt'):
        DATASETS.build(dict(type='KITTIDepthDataset', data_root=str(kitti), ann_file='absent.txt'))


def test_missing_files(kitti):
    lines = [f'{image_of(drive)} {depth_of(drive)}' for drive in DRIVES]
    (kitti / 'annotations' / depth_of(DRIVES[1])).unlink()
    with pytest.raises(FileNotFoundError, match=rf'\b1\b.*\b2\b.*annotations/{DRIVES[1]}'):
        build(kitti, *lines, pipeline=[dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256)])


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('image.png', r'split\.txt, line 1.*\'image\.png\''),
        ('image.png None 721.5', r'split\.txt'),
    ],
)
def test_bad_split_file(kitti, line, message):
    with pytest.raises(ValueError, match=message):
        build(kitti, line)


@pytest.fixture
def config(kitti):
    """The shipped config, on the two frames; without the colours, which need albumentations."""
    config = Config.fromfile(CONFIG)
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(kitti)
        loader.dataset.pipeline = [step for step in loader.dataset.pipeline if step.type != 'Albu']
    for name in ('train.txt', 'test.txt'):
        (kitti / name).write_text('\n'.join(f'{image_of(drive)} {depth_of(drive)}' for drive in DRIVES))
    return config


def test_config_crops_for_the_test(config):
    packed = DATASETS.build(config.test_dataloader.dataset)[0]
    blue, green, _ = packed['inputs']
    assert packed['inputs'].shape == (3, 352, 1216)
    assert (green[0, 0], blue[0, 0]) == (360 - 352, (1230 - 1216) // 2)
    assert packed['data_samples'].gt_depth_map.data.equal(blue[None] + 1.0)
    assert packed['data_samples'].ori_shape == (352, 1216)
    assert packed['data_samples'].sample_name == f'{DRIVES[0]}_image_02_0000000069'


def test_config_crops_for_training(config):
    """The image and its depth alike, flipped or not."""
    config.train_dataloader.dataset.pipeline[4].prob = 0
    dataset = DATASETS.build(config.train_dataloader.dataset)
    samples = [dataset[0] for _ in range(8)]
    for packed in samples:
        assert packed['inputs'].shape == (3, 352, 352)
        assert packed['data_samples'].gt_depth_map.data.equal(packed['inputs'][:1] + 1.0)
    assert {packed['data_samples'].flip for packed in samples} == {True, False}
    assert len({int(packed['inputs'][0, 0, 0]) for packed in samples}) > 2


def test_config_augments_the_test(config):
    frame = dict(DATASETS.build(dict(config.test_dataloader.dataset, pipeline=[])).get_data_info(0))
    for step in config.tta_pipeline:
        frame = TRANSFORMS.build(step)(frame)
    straight, flipped = frame['inputs']
    assert straight.equal(flipped.flip(-1)) and straight.shape == (3, 352, 1216)
    for view in frame['data_samples']:
        assert view.gt_depth_map.data.equal(straight[:1] + 1.0)
    assert [view.flip for view in frame['data_samples']] == [False, True]
