import json

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import BaseDataset
from mmpose.datasets import CocoDataset as CocoPoseDataset
from mmseg.datasets import ADE20KDataset, BaseSegDataset, CityscapesDataset, LEVIRCDDataset, NYUDataset
from PIL import Image

import mmdiffperc  # noqa: F401


@pytest.fixture
def build(tmp_path):
    """Write an image with a tram and build mmdet's data set of it."""

    def build(*classes, image='a.png', **options):
        (tmp_path / 'images').mkdir(exist_ok=True)
        Image.new('RGB', (64, 48)).save(tmp_path / 'images' / image)
        box = dict(id=1, image_id=1, category_id=4, bbox=[1, 1, 9, 9], area=81, iscrowd=0)
        names = {4: 'tram', 9: 'tram stop', 7: 'road'}
        content = dict(
            images=[dict(id=1, file_name='a.png', width=64, height=48)],
            annotations=[box],
            categories=[dict(id=number, name=name) for number, name in names.items()],
        )
        (tmp_path / 'trams.json').write_text(json.dumps(content))
        config = dict(data_root=str(tmp_path), ann_file='trams.json', data_prefix=dict(img='images'))
        return CocoDataset(metainfo=dict(classes=classes), **config | options)

    return build


def test_classes_that_the_annotations_have(build):
    dataset = build('tram', 'road')
    assert (len(dataset), dataset.cat_ids) == (1, [4, 7])


@pytest.mark.parametrize(
    ('classes', 'missing', 'nearest'),
    [
        (('Tram',), "'Tram'", "'tram'"),
        (('Tram stop', 'tram'), "'Tram stop'", "'tram stop'"),
        (('raod',), "'raod'", "'road'"),
    ],
)
def test_misspelt_class(build, classes, missing, nearest):
    with pytest.raises(ValueError, match=rf'trams\.json.*{missing}.*{nearest}'):
        build(*classes)


def test_class_like_none_that_is_there(build):
    with pytest.raises(ValueError, match="'zebra'.*'tram', 'tram stop', 'road'"):
        build('zebra')


def test_everything_is_filtered(build):
    with pytest.raises(ValueError, match=r'CocoDataset.*trams\.json.*min_size'):
        build('tram', filter_cfg=dict(min_size=99))


def test_images_in_another_folder_or_of_another_suffix(build):
    with pytest.raises(FileNotFoundError, match=r'elsewhere/a\.png.*trams\.json.*elsewhere.*data_prefix'):
        build('tram', data_prefix=dict(img='elsewhere'))


def test_images_of_another_suffix(build, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images/a\.png.*'a\.JPG'.*'\.JPG'\?"):
        build('tram', image='a.JPG')


def test_other_data_sets(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    with pytest.raises(FileNotFoundError, match=r"ADE20KDataset.*'\.jpg'.*'a\.png'.*'\.png'\?"):
        ADE20KDataset(data_prefix=dict(img_path=str(tmp_path)))


@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('dataset', [ADE20KDataset, CityscapesDataset, NYUDataset, LEVIRCDDataset])
def test_folder_that_does_not_exist(tmp_path, dataset, packed):
    (tmp_path / 'images').mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{dataset.__name__}.*/image.*'images'\?"):
        dataset(data_root=str(tmp_path), data_prefix=dict(img_path='image', img_path2='image'), serialize_data=packed)


def test_list_that_does_not_exist(tmp_path):
    (tmp_path / 'train.txt').write_text('a')
    with pytest.raises(FileNotFoundError, match=r"ann_file='.*/trian\.txt'.*'train\.txt'\?"):
        ADE20KDataset(data_root=str(tmp_path), ann_file='trian.txt', data_prefix=dict(img_path='', seg_map_path=''))


def test_unpacked_data_set_is_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match='ADE20KDataset'):
        ADE20KDataset(data_prefix=dict(img_path=str(tmp_path)), serialize_data=False)


def test_other_errors_stay(tmp_path):
    """A check of the host that has nothing to do with files."""
    (tmp_path / 'a.jpg').write_bytes(b'an image')
    with pytest.raises(AssertionError, match='classes'):
        BaseSegDataset(data_prefix=dict(img_path=str(tmp_path)), test_mode=True)


KINDS = [BaseDataset, BaseSegDataset, ADE20KDataset, CocoDataset, CocoPoseDataset]


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
@pytest.mark.parametrize('dataset', KINDS)
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
