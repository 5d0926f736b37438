"""check_data.py on toy scenes with broken layouts, and on the shipped configs without any data."""

import re
from pathlib import Path

import check_data
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

import mmdiffperc.pose
import mmdiffperc.seg  # noqa: F401  (registers the data sets)
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
SEGMENTATION = CONFIGS / 'vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
DEPTH = CONFIGS / 'vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py'
TOY = [
    SEGMENTATION,
    DEPTH,
    CONFIGS / 'vpd/vpd_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py',
    CONFIGS / 'detection/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py',
    CONFIGS / 'metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py',
    ROOT / 'projects/dmp/configs/dmp_tiny-sd_1xb8-600_toy-dmp-depth-128x128.py',
]
DATA = '_base_/datasets'
PUBLISHED_DATA = {
    f'{DATA}/ade20k_512x512.py': 'mmseg',
    f'{DATA}/cityscapes_extra_1024x1024.py': 'mmseg',
    f'{DATA}/mapillary_as_cityscapes_1024x1024.py': 'mmseg',
    f'{DATA}/nyu.py': 'mmseg',
    f'{DATA}/kitti_eigen_352x1216.py': 'mmseg',
    f'{DATA}/hypersim_vkitti_depth.py': 'mmseg',
    f'{DATA}/hypersim_vkitti_normals.py': 'mmseg',
    f'{DATA}/refcoco_512x512.py': 'mmseg',
    f'{DATA}/refcoco+_512x512.py': 'mmseg',
    f'{DATA}/refcocog_512x512.py': 'mmseg',
    f'{DATA}/coco_keypoints.py': 'mmpose',
    'detection/retinanet_sd1-5-fpn_8xb2-1x_coco-1333x800.py': 'mmdet',
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write toy scenes of 64 x 96 pixels below the working directory, ten to train on and eight to validate."""
    monkeypatch.chdir(tmp_path)

    def write(*formats):
        write_dataset(tmp_path / 'data/toy', DatasetSpec(10, 8, (64, 96), seed=2, formats=formats))
        return tmp_path / 'data/toy'

    return write


def faults(capsys, config, *arguments):
    """Run the tool and return the faults that it reports."""
    status = check_data.main([str(config), *arguments])
    output = capsys.readouterr()
    found = re.findall(r'^- (.*)', output.err, re.MULTILINE)
    assert status == bool(found) == ('No faults found.' not in output.out)
    return found


def test_complete_data(data, capsys, monkeypatch):
    monkeypatch.setattr('mmdiffperc.progress.DELAY', 0)
    data('ade', 'nyu', 'refcoco', 'coco', 'dmp', 'dmp_b')
    for config in TOY:
        assert check_data.main([str(config)]) == 0
        shown, progress = capsys.readouterr()
        assert 'compare sizes: 100%' in progress and 'load: 100%' in progress
        assert shown.endswith('No faults found.\n') and re.search(r'^train: \w+ of data/toy/', shown, re.MULTILINE)
    assert 'val: ImageTargetDataset of data/toy/dmp/val, samples: 8' in shown


def test_no_data(data, capsys):
    train, test = faults(capsys, SEGMENTATION)
    assert 'train: ' in train and 'data/toy/ade/images/training' in train
    assert 'val, test: ' in test and 'data/toy/ade/images/validation' in test


def test_every_wrapped_data_set_is_checked(data, capsys):
    found = faults(
        capsys, CONFIGS / 'metaprompts/metaprompts_sd1-5-upernet-1pass_8xb1-80k_cityscapes-extra-1024x1024.py'
    )
    for folder, fault in zip(('train', 'train_extra', 'val'), found, strict=True):
        assert f'data/cityscapes/leftImg8bit/{folder} ' in fault


def test_every_loader_of_a_zero_shot_test_is_checked(data, capsys, tmp_path):
    data('dmp', 'dmp_b')
    config = Config.fromfile(TOY[-1])
    loader = config.test_dataloader
    config.test_dataloader = [loader, dict(loader, dataset=dict(loader.dataset, data_root='data/toy/dmp_c'))]
    config.test_evaluator = [[dict(type='DepthMapMetric')], dict(type='DepthMapMetric', ann_file='none.json')]
    config.dump(tmp_path / 'config.py')
    found = faults(capsys, tmp_path / 'config.py')
    assert len(found) == 2 and 'none.json' in found[0] and 'dmp_c' in found[1]


def test_missing_pairs(data, capsys):
    root = data('ade') / 'ade'
    label_map = sorted((root / 'annotations/training').iterdir())[4]
    image = sorted((root / 'images/validation').iterdir())[1]
    label_map.unlink()
    image.unlink()
    missing_map, missing_image = faults(capsys, SEGMENTATION)
    assert 'train: ' in missing_map and f'annotations/training/{label_map.name}' in missing_map
    assert 'val, test: ' in missing_image and f'annotations/validation/{image.name}' in missing_image


def test_damaged_files_and_wrong_sizes(data, capsys):
    root = data('ade') / 'ade'
    first, last = min((root / 'annotations/training').iterdir()), max((root / 'images/validation').iterdir())
    Image.new('L', (20, 30), 1).save(first)
    last.write_bytes(b'no image')
    wrong_size, *_, damaged = faults(capsys, SEGMENTATION)
    assert first.name in wrong_size and '(30, 20)' in wrong_size and '(64, 96)' in wrong_size
    assert damaged.startswith('val, test: ') and last.name in damaged


def test_published_numbers_and_sizes(data, capsys):
    (data('nyu') / 'nyu').rename('data/nyu')
    png = ['img_suffix=.png', 'data_root=data/nyu']
    options = [f'{phase}_dataloader.dataset.{option}' for phase in ('train', 'val', 'test') for option in png]
    found = faults(capsys, DEPTH, '--cfg-options', *options)
    assert 'train: data/nyu/images/train: expected 24231 samples, got 10' in found
    assert 'val, test: data/nyu/images/test: expected 654 samples, got 8' in found
    assert sum('(480, 640)' in fault and '(64, 96)' in fault for fault in found) == len(found) - 2 == 10


def test_annotation_file_of_an_evaluator(data, capsys):
    data('coco')
    (fault,) = faults(capsys, TOY[3], '--cfg-options', 'val_evaluator.ann_file=elsewhere.json')
    assert 'val_evaluator' in fault and 'elsewhere.json' in fault


def test_config_without_data(tmp_path, capsys):
    (tmp_path / 'empty.py').write_text('')
    assert check_data.main([str(tmp_path / 'empty.py')]) == 1
    assert 'train_dataloader' in capsys.readouterr().err


def test_the_numbers_of_all_published_data_sets_are_known():
    """By the names that the configs have for them."""
    known = set()
    for name, scope in PUBLISHED_DATA.items():
        config = Config.fromfile(CONFIGS / name)
        init_default_scope(scope)
        for _, dataset in check_data.configured_datasets(config):
            source = check_data.source_of(DATASETS.build(dict(dataset, pipeline=[], lazy_init=True)))
            assert check_data.published(source), (name, source)
            known.add(source)
    others = {name for name in check_data.PUBLISHED if name not in known}
    assert all(name.rpartition(', ')[2] in ('testA', 'testB', 'test') for name in others)


def test_the_page_has_the_numbers_of_the_tool():
    page = (ROOT / 'docs/data.md').read_text()
    rows = re.findall(r'^\| `(data/[^`]+)` \| ([\d,]+) \| (?:(\d+) x (\d+) )?\|$', page, re.MULTILINE)
    listed = {
        name: check_data.Published(int(number.replace(',', '')), (int(height), int(width)) if height else None)
        for name, number, height, width in rows
    }
    assert listed == check_data.PUBLISHED
