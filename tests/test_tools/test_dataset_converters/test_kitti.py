import cv2
import numpy as np
import pytest
from kitti import main
from mmengine.registry import init_default_scope

from mmdiffperc.generative import ListedTargetDataset
from mmdiffperc.seg.depth.kitti_depth_dataset import KITTIDepthDataset

TRAIN, TEST, WITHOUT_DEPTH = (f'2011_09_26_drive_{number}_sync' for number in ('0001', '0002', '0117'))


def image_of(drive):
    return f'2011_09_26/{drive}/image_02/data/0000000005.png'


def depth_of(drive):
    return f'{drive}/proj_depth/groundtruth/image_02/0000000005.png'


@pytest.fixture
def arguments(tmp_path):
    """Raw data of three drives and, as the benchmark is unpacked, depth of two; a list of BTS and one of VPD."""
    for drive, folder, metres in ((TRAIN, 'train', 20), (TEST, 'val', 30), (WITHOUT_DEPTH, None, None)):
        image, depth = tmp_path / 'raw' / image_of(drive), tmp_path / f'depth/{folder}' / depth_of(drive)
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), np.full((6, 9, 3), 77, np.uint8))
        if folder:
            depth.parent.mkdir(parents=True)
            cv2.imwrite(str(depth), np.full((6, 9), metres * 256, np.uint16))
    (tmp_path / 'bts.txt').write_text(
        f'{image_of(TEST)} {depth_of(TEST)} 721.5377\n{image_of(WITHOUT_DEPTH)} None 721.5377\n'
    )
    (tmp_path / 'vpd.txt').write_text(f'/raw_data/{image_of(TRAIN)} /data_depth_annotated/train/{depth_of(TRAIN)}\n')
    folders = ['--raw', str(tmp_path / 'raw'), '--depth', str(tmp_path / 'depth')]
    lists = ['--train-list', str(tmp_path / 'vpd.txt'), '--test-list', str(tmp_path / 'bts.txt')]
    return ['--out', str(tmp_path / 'out'), *folders, *lists]


def read(out, phase):
    """What the data set reads."""
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256)]
    return list(KITTIDepthDataset(ann_file=f'{phase}.txt', data_root=str(out), pipeline=pipeline))


def test_data_set_reads_what_is_written(tmp_path, arguments, capsys):
    assert main(arguments) == 0
    assert 'complete, 6 new files' in capsys.readouterr().out
    for phase, drive, metres in (('train', TRAIN, 20), ('test', TEST, 30)):
        (frame,) = read(tmp_path / 'out', phase)
        assert frame['sample_name'] == f'{drive}_image_02_0000000005'
        assert frame['img'].shape == (6, 9, 3) and (frame['img'] == 77).all()
        assert frame['gt_depth_map'].shape == (6, 9) and (frame['gt_depth_map'] == metres).all()
    assert not (tmp_path / 'out/images' / image_of(WITHOUT_DEPTH)).exists()


def test_the_data_set_of_generative_models_reads_it_too(tmp_path, arguments):
    assert main(arguments) == 0
    init_default_scope('mmseg')
    dataset = ListedTargetDataset(
        ann_file='test.txt',
        data_root=str(tmp_path / 'out'),
        data_prefix=dict(img_path='images', target_path='annotations'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadPublishedTarget', format='kitti_depth')],
    )
    (frame,) = dataset
    assert frame['img'].shape == (6, 9, 3) and (frame['gt_target'] == 30).all() and frame['gt_valid'].all()


def test_continues(tmp_path, arguments, capsys):
    assert main(arguments) == 0
    (tmp_path / 'out').rename(tmp_path / 'out.part')
    (tmp_path / 'out.part/annotations' / depth_of(TEST)).unlink()
    assert main(arguments) == 0
    assert 'complete, 1 new files' in capsys.readouterr().out
    assert (read(tmp_path / 'out', 'test')[0]['gt_depth_map'] == 30).all()
    assert main(arguments) == 0
    assert 'already there' in capsys.readouterr().out


def test_missing_depth(tmp_path, arguments, capsys):
    (tmp_path / 'depth/val' / depth_of(TEST)).unlink()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert '1 of 4' in error and f'{tmp_path}/depth/{depth_of(TEST)}' in error
    assert not list(tmp_path.glob('out*'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('image.png depth.png', 'expected <date>/<drive>/... <drive>/proj_depth/..., got image.png depth.png'),
        (f'{image_of(TEST)} None', 'target'),
    ],
)
def test_bad_list(tmp_path, arguments, capsys, content, message):
    (tmp_path / 'bts.txt').write_text(content)
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_needs_a_list(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments[:6])
    assert '--train-list or --test-list' in capsys.readouterr().err
