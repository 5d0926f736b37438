import json

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import BaseDataset
from mmpose.datasets import CocoDataset as CocoPoseDataset
from mmseg.datasets import ADE20KDataset, BaseSegDataset

import mmdiffperc  # noqa: F401

DATASETS = [BaseDataset, BaseSegDataset, ADE20KDataset, CocoDataset, CocoPoseDataset]


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
@pytest.mark.parametrize('dataset', DATASETS)
def test_one_string(dataset, key):
    with pytest.raises(ValueError, match=rf"{dataset.__name__}.*{key}='tram'.*\('tram',\)"):
        dataset(metainfo={key: ('tram')}, lazy_init=True)


@pytest.mark.parametrize('host', [BaseSegDataset, CocoDataset, CocoPoseDataset])
def test_one_string_of_a_class_of_one_s_own(host):
    class Trams(host):
        METAINFO = dict(classes=('tram'))

    with pytest.raises(ValueError, match=r"Trams.*\('tram',\)"):
        Trams(lazy_init=True)


def test_one_string_in_an_annotation_file(tmp_path):
    file = tmp_path / 'trams.json'
    file.write_text(json.dumps(dict(metainfo=dict(classes='tram'), data_list=[dict(img_path='a.png')])))
    with pytest.raises(ValueError, match=r"\('tram',\)"):
        BaseDataset(str(file))


def test_list_and_file_of_names(tmp_path):
    file = tmp_path / 'classes.txt'
    file.write_text('tram\nroad\n')
    for classes in (['tram', 'road'], str(file)):
        dataset = BaseSegDataset(metainfo=dict(classes=classes), lazy_init=True)
        assert dataset.metainfo['classes'] == ['tram', 'road']
