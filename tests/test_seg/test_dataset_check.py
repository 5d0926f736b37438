"""Checks that reach the data sets of mmseg itself, and those that somebody derives from them."""

import warnings

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmseg.datasets import (
    ADE20KDataset,
    BaseSegDataset,
    CityscapesDataset,
    LEVIRCDDataset,
    NYUDataset,
    PascalVOCDataset,
)
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmdiffperc.seg import MapillaryAsCityscapesDataset, ToyScenesDataset

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


class MyOwn(BaseSegDataset):
    METAINFO = dict(classes=('wall', 'crack'))


class MyOwnList(BaseSegDataset):
    METAINFO = dict(classes=('wall', 'crack'))

    def load_data_list(self):
        samples = super().load_data_list()
        return [dict(sample, id=index) for index, sample in enumerate(samples)]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def build(tmp_path):
    """Write images with label maps that hold some labels each, and build a data set of them."""

    def build(*labels, dataset=MyOwn, prefix=('images', 'labels'), **options):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir(exist_ok=True)
        for index, row in enumerate(labels):
            Image.new('RGB', (len(row), 2)).save(tmp_path / 'images' / f'{index}.png')
            Image.fromarray(np.array([row, row], np.uint8)).save(tmp_path / 'labels' / f'{index}.png')
        prefix = dict(zip(('img_path', 'seg_map_path'), prefix, strict=False))
        defaults = dict(img_suffix='.png', seg_map_suffix='.png', pipeline=LOAD)
        return dataset(data_root=str(tmp_path), data_prefix=prefix, **defaults | options)

    return build


ALL = [MyOwn, MyOwnList, CityscapesDataset, ADE20KDataset, ToyScenesDataset, MapillaryAsCityscapesDataset]


@pytest.mark.parametrize('options', [{}, dict(test_mode=True), dict(serialize_data=False), dict(pipeline=[])])
@pytest.mark.parametrize('dataset', ALL)
def test_masks_of_0_and_255(build, dataset, options):
    with pytest.raises(ValueError, match=r'0\.png.*\b2\b.*\b255\b.*label_map=\{255: 1\}'):
        build([0, 255], [255, 255], [0, 255], dataset=dataset, **options)


def test_base_class_of_mmseg(build):
    with pytest.raises(ValueError, match='CheckedSegDataset'):
        build([0, 255], [0, 255], dataset=BaseSegDataset, metainfo=dict(classes=['wall', 'crack']))


def test_change_detection(build, tmp_path):
    build([0, 255], [0, 255], metainfo=dict(classes=['wall']))
    with pytest.raises(ValueError, match=r'0\.png.*\b1\b.*\[0, 255\]'):
        LEVIRCDDataset(
            data_root=str(tmp_path), data_prefix=dict(img_path='images', img_path2='images', seg_map_path='labels')
        )


def test_joined_data_sets(build, tmp_path):
    config = dict(type='BaseSegDataset', data_root=str(tmp_path), img_suffix='.png', pipeline=LOAD)
    config |= dict(metainfo=dict(classes=['wall', 'crack']))
    config |= dict(data_prefix=dict(img_path='images', seg_map_path='labels'))
    build([0, 1], [1, 0])
    assert len(ConcatDataset([config, config])) == 4
    with pytest.raises(ValueError, match=r'label_map=\{255: 1\}'):
        build([0, 255], [0, 255])
    with pytest.raises(ValueError, match=r'label_map=\{255: 1\}'):
        ConcatDataset([config, config])


def test_each_map_is_read_once(build, monkeypatch):
    """By the check of a data set that inherits from a checked one, too."""
    build([1, 2], [2, 1], dataset=ToyScenesDataset)
    loader = TRANSFORMS.get('LoadAnnotations')
    read, load = [], loader.transform
    monkeypatch.setattr(loader, 'transform', lambda self, sample: read.append(1) or load(self, sample))
    build(dataset=ToyScenesDataset)
    assert len(read) == 2


def test_at_most_50_are_read(build, monkeypatch):
    build(*[[0, 1]] * 52)
    loader = TRANSFORMS.get('LoadAnnotations')
    read, load = [], loader.transform
    monkeypatch.setattr(loader, 'transform', lambda self, sample: read.append(1) or load(self, sample))
    build()
    assert len(read) == 50


def test_maps_that_no_pipeline_loads(build):
    """The label maps of test images may be useless, and their folder may be missing."""
    assert len(build([0, 255], [0, 255], pipeline=LOAD[:1])) == 2
    assert len(build(prefix=('images', 'nothing'), pipeline=LOAD[:1])) == 2


def test_loader_inside_of_another_transform(build):
    views = dict(type='TestTimeAug', transforms=[[dict(type='Resize', scale=(8, 8))], LOAD[1:]])
    with pytest.raises(ValueError, match=r'label_map=\{255: 1\}'):
        build([0, 255], [0, 255], pipeline=[LOAD[0], views])


class OwnLoader(BaseTransform):
    def transform(self, results):
        return results


class OwnLoadAnnotations(LoadAnnotations):
    def transform(self, results):
        return super().transform(results) | dict(shape=results['img_shape'])


@pytest.mark.parametrize('loader', [OwnLoader, OwnLoadAnnotations])
def test_loader_of_one_s_own(build, loader):
    """It may need what other transforms leave, and know what 255 means."""
    assert len(build([0, 255], [0, 255], pipeline=[LOAD[0], loader()])) == 2


def test_other_storages(build):
    remote = dict(backend='http')
    assert len(build([0, 255], [0, 255], pipeline=[LOAD[0], LOAD[1] | dict(backend_args=remote)])) == 2


def test_images_without_labels(build):
    assert len(build([0, 255], [0, 255], prefix=['images'], pipeline=LOAD[:1])) == 2
    assert len(build(prefix=['images'], pipeline=[], test_mode=True)) == 2


@pytest.mark.parametrize('dataset', [ADE20KDataset, CityscapesDataset, MyOwn, ToyScenesDataset])
def test_missing_label_maps(build, tmp_path, dataset):
    build([0, 1], [1, 0])
    with pytest.raises(FileNotFoundError, match=rf"{dataset.__name__}.*/label.*'labels'\?"):
        build(dataset=dataset, prefix=('images', 'label'))
    with pytest.raises(FileNotFoundError, match=r"\b2\b.*\b2\b.*labels/0\.tif \(seg_map_suffix='\.tif'\).*'\.png'\?"):
        build(dataset=dataset, seg_map_suffix='.tif')
    (tmp_path / 'labels' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'\b1\b.*\b2\b.*labels/1\.png'):
        build(dataset=dataset)


def test_missing_depth_maps(tmp_path):
    for folder in ('images', 'depth'):
        (tmp_path / folder).mkdir()
        Image.new('I;16', (4, 4), 1000).save(tmp_path / folder / 'kitchen_1.png')
    pipeline = [LOAD[0], dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)]

    def build(depth, suffix):
        prefix = dict(img_path='images', depth_map_path=depth)
        options = dict(img_suffix='.png', depth_map_suffix=suffix, pipeline=pipeline)
        return NYUDataset(data_root=str(tmp_path), data_prefix=prefix, **options)

    assert len(build('depth', '.png')) == 1
    with pytest.raises(FileNotFoundError, match=r"/depths.*'depth'\?"):
        build('depths', '.png')
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*kitchen_1\.exr \(depth_map_suffix='\.exr'\).*'\.png'\?"):
        build('depth', '.exr')


def test_suffix_without_its_dot(build):
    with pytest.raises(FileNotFoundError, match=r'labels/0\.\.png.*img_suffix.*\'\.jpg\''):
        build([0, 1], [1, 0], img_suffix='png')
    with pytest.raises(FileNotFoundError, match=r"labels/0png.*'\.png'\?"):
        build(seg_map_suffix='png')


@pytest.mark.parametrize('line', ['0.png', '0.PNG', '0.jpg'])
def test_list_of_names_with_their_suffix(build, tmp_path, line):
    (tmp_path / 'train.txt').write_text(f'{line}\n')
    with pytest.raises(FileNotFoundError, match=rf'images/{line}\.png.*{line[1:]}.*ann_file'):
        build([0, 1], ann_file='train.txt')


def test_voc(build, tmp_path):
    (tmp_path / 'train.txt').write_text('0\n1\n')
    assert len(build([0, 7, 255], [0, 9, 255], dataset=PascalVOCDataset, ann_file='train.txt')) == 2
    with pytest.raises(ValueError, match=r'\[0, 255\].*label_map=\{255: 1\}'):
        build([0, 255], [0, 255], dataset=PascalVOCDataset, ann_file='train.txt')


@pytest.mark.parametrize(
    ('dataset', 'labels'), [(ADE20KDataset, range(30)), (CityscapesDataset, [0, 1, 2, 8, 10, 13, 255])]
)
def test_real_data_pass(build, dataset, labels):
    """In the first maps, many of the classes are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(labels, labels, dataset=dataset)


def test_a_few_classes_of_many(build):
    """mmseg ignores all others; the first maps may hold none of the few."""
    sink = dict(dataset=ADE20KDataset, metainfo=dict(classes=('sink', 'wall')))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build([1, 48], [2, 3], [2, 4], [5, 6], **sink)  # label 1 is a wall, 48 a sink
    with pytest.warns(UserWarning, match=r"\b1\b.*2 classes \('sink'\)"):
        build([1, 2], [2, 3], [2, 4], [5, 6], **sink)
    with pytest.raises(ValueError, match=r'label_map=\{255: 1\}'):
        build([0, 255], [0, 255], [0, 255], [0, 255], **sink)


def test_folder_in_place_of_a_list(build):
    with pytest.raises(FileNotFoundError, match=r"ann_file='.*/labels'"):
        build([0, 1], ann_file='labels')


def test_test_split_of_cityscapes(build):
    """Its label maps are not public; the maps beside the images contain only the ignored label."""
    with pytest.warns(UserWarning, match='255'):
        build([255, 255], [255, 255], dataset=CityscapesDataset, test_mode=True)
    with pytest.raises(ValueError, match='255'):
        build(dataset=CityscapesDataset)
