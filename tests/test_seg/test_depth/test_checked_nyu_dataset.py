from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import NYUDataset
from mmseg.registry import DATASETS

from mmdiffperc.seg import CheckDepth, CheckedNYUDataset  # noqa: F401  (registers them)
from mmdiffperc.seg.depth.checked_nyu_dataset import find_scene

CONFIGS = Path(__file__).parents[3] / 'configs'
NAMES = (
    '_base_/datasets/nyu.py',
    '_base_/datasets/toy_nyu_128x128.py',
    'vpd/vpd_sd1-5_4xb8-25k_nyu-512x512.py',
)
# The folders of NYU Depth v2 without their numbers, as they are in the lists of BTS and VPD.
FOLDERS = (*NYUDataset.METAINFO['classes'], 'nyu_office')
PART_OF = {'study_room': 'study', 'office_kitchen': 'kitchen', 'nyu_office': 'office'}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def write(tmp_path):
    """Write images of 48 x 64 and their depth maps in NYU's folders, and return their root."""

    def write(*names, phase='test', depth_size=(48, 64)):
        for folder in ('images', 'annotations'):
            (tmp_path / folder / phase).mkdir(parents=True, exist_ok=True)
        for name in names:
            cv2.imwrite(str(tmp_path / 'images' / phase / f'{name}.jpg'), np.full((48, 64, 3), 90, np.uint8))
            cv2.imwrite(str(tmp_path / 'annotations' / phase / f'{name}.png'), np.full(depth_size, 2345, np.uint16))
        return str(tmp_path)

    return write


def build(root, dataset_type=CheckedNYUDataset, phase='test', **arguments):
    prefix = dict(img_path=f'images/{phase}', depth_map_path=f'annotations/{phase}')
    return dataset_type(data_root=root, data_prefix=prefix, serialize_data=False, **arguments)


def test_is_the_data_set_of_mmseg(write):
    root = write('kitchen_0028b_00045', 'dining_room_0001', 'cave_3')
    ours, theirs = build(root), build(root, NYUDataset)
    assert ours.metainfo == theirs.metainfo
    assert [ours.get_data_info(i) for i in range(3)] == [theirs.get_data_info(i) for i in range(len(theirs))]
    assert [ours.get_data_info(i)['category_id'] for i in range(3)] == [-1, 21, 6]


@pytest.mark.parametrize('form', ['{}_0001a_00012.jpg', '{}_00012.jpg', 'train/{}_0_00012.jpg'])
def test_scenes_of_the_original_code_and_of_mmseg(form):
    """The first class that occurs in the name, and the class that equals the name."""
    classes = NYUDataset.METAINFO['classes']
    for folder in FOLDERS:
        whole = find_scene(form.format(folder), classes)
        part = find_scene(form.format(folder), classes, 'part')
        assert whole == (classes.index(folder) if folder in classes else -1)
        assert classes[part] == PART_OF.get(folder, folder)
        assert (whole != part) == (folder in PART_OF)


def test_scene_of_a_folder_or_none():
    """The original code searches the name of the folder as well, as in its own layout."""
    classes = NYUDataset.METAINFO['classes']
    assert classes[find_scene('data/test/bathroom/rgb_00045.jpg', classes, 'part')] == 'bathroom'
    assert find_scene('data/test/bathroom/rgb_00045.jpg', classes) == -1
    assert find_scene('kitchen/test/cave_00045.jpg', classes, 'part') == -1


def test_parts_of_names_are_an_option(write):
    root = write('nyu_office_1_00001', 'study_room_0004_00001')
    ids = {
        match: [one['category_id'] for one in build(root, scene_match=match).data_list] for match in ('whole', 'part')
    }
    assert ids == dict(whole=[-1, 5], part=[25, 3])
    with pytest.raises(ValueError, match=r"scene_match='any'.*'whole'.*'part'"):
        build(root, scene_match='any')


def test_name_without_a_number_is_of_no_known_scene(write):
    assert build(write('kitchen')).get_data_info(0)['category_id'] == -1


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match='images/test.*data_root.*data_prefix'):
        build(str(tmp_path))


def test_folder_without_images(write):
    root = write('kitchen_1')
    with pytest.raises(FileNotFoundError, match=r"images/test.*'\.png'.*'\.jpg'"):
        build(root, img_suffix='.png')


@pytest.mark.parametrize('name', NAMES)
def test_shipped_configs_check_the_depth_they_test_with(name, write):
    config = Config.fromfile(CONFIGS / name)
    root = write('kitchen_1')
    for phase in ('val', 'test'):
        loader = config[f'{phase}_dataloader'].dataset | dict(data_root=root, img_suffix='.jpg')
        for pipeline in (loader['pipeline'], config.tta_pipeline):
            write('kitchen_1')
            dataset = DATASETS.build(loader | dict(pipeline=pipeline))
            assert isinstance(dataset, CheckedNYUDataset)
            assert dataset[0] is not None
            write('kitchen_1', depth_size=(24, 64))
            with pytest.raises(ValueError, match=r'\(24, 64\).*\(48, 64\)'):
                dataset[0]


def test_shipped_configs_train_with_it():
    for name in NAMES:
        dataset = Config.fromfile(CONFIGS / name).train_dataloader.dataset
        assert DATASETS.get(dataset.type) is CheckedNYUDataset
        assert 'CheckDepth' in [transform.type for transform in dataset.pipeline]


def test_configs_of_mmseg_get_the_checks(write):
    root = write('kitchen_1', 'kitchen_2')
    for number in (1, 2):
        cv2.imwrite(f'{root}/annotations/test/kitchen_{number}.png', np.full((48, 64), 65535, np.uint16))
    loader = dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)
    with pytest.raises(ValueError, match=r'kitchen_1\.png.*\b1\b.*65535'):
        build(root, NYUDataset, pipeline=[loader])
