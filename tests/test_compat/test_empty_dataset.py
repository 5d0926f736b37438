import json

import pytest
from mmdet.datasets import CocoDataset
from mmseg.datasets import ADE20KDataset
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
    with pytest.raises(ValueError, match=rf'trams\.json: .*{missing}.*Did you mean {nearest}'):
        build(*classes)


def test_class_like_none_that_is_there(build):
    with pytest.raises(ValueError, match="'zebra'.* list of 3 .'tram', 'tram stop', 'road'"):
        build('zebra')


def test_everything_is_filtered(build):
    with pytest.raises(ValueError, match=r'CocoDataset has no samples.*trams\.json.*min_size'):
        build('tram', filter_cfg=dict(min_size=99))


def test_images_in_another_folder_or_of_another_suffix(build):
    with pytest.raises(FileNotFoundError, match=r'elsewhere/a\.png.*trams\.json.*elsewhere .*data_root'):
        build('tram', data_prefix=dict(img='elsewhere'))


def test_images_of_another_suffix(build, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images/a\.png.*'a\.JPG'.*'\.JPG'\?"):
        build('tram', image='a.JPG')


def test_other_data_sets(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r"ADE20KDataset has no samples.*'\.jpg'.*'a\.png'.*'\.png'\?"):
        ADE20KDataset(data_prefix=dict(img_path=str(tmp_path)))
