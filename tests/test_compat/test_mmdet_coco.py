import json

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from PIL import ExifTags, Image

import mmdiffperc  # noqa: F401

BOXES = {4: [1, 1, 9, 9], 9: [20, 4, 30, 12], 7: [8, 20, 40, 16]}  # of a tram, a tram stop and a road
SIZE = (48, 64)


@pytest.fixture
def write(tmp_path):
    """Write an image of 48 x 64 and its annotations; the arguments of the data set."""

    def write(*boxes, names=('tram', 'tram stop', 'road'), size=SIZE, name='a.png', file='trams.json', missing=()):
        (tmp_path / 'images').mkdir(exist_ok=True)
        Image.new('RGB', SIZE[::-1]).save(tmp_path / 'images' / 'a.png')
        boxes = [(number, box) for number, box in BOXES.items()] if not boxes else [(4, box) for box in boxes]
        annotations = [
            dict(id=index, image_id=1, category_id=number, bbox=box, area=box[2] * box[3], iscrowd=0)
            for index, (number, box) in enumerate(boxes, start=1)
        ]
        annotations = [{key: value for key, value in one.items() if key not in missing} for one in annotations]
        numbers = dict(tram=4, road=7) | {'tram stop': 9}
        content = dict(
            images=[dict(id=1, file_name=name, height=size[0], width=size[1])],
            annotations=annotations,
            categories=[dict(id=numbers[one], name=one) for one in names],
        )
        (tmp_path / file).write_text(json.dumps(content))
        return dict(data_root=str(tmp_path), ann_file=file, data_prefix=dict(img='images'))

    return write


def build(options, *classes, **others):
    return CocoDataset(metainfo=dict(classes=classes or ('tram',)), **options, **others)


def named_boxes(dataset):
    """The boxes (x, y, width, height) of the image by the names of their classes."""
    found = dataset.get_data_info(0)['instances']
    names = dataset.metainfo['classes']
    return {names[one['bbox_label']]: np.subtract(one['bbox'], [0, 0, *one['bbox'][:2]]).tolist() for one in found}


NAMED = {'tram': BOXES[4], 'tram stop': BOXES[9], 'road': BOXES[7]}


@pytest.mark.filterwarnings('ignore:The categories of the COCO file')
@pytest.mark.parametrize(
    'classes', [('tram', 'tram stop', 'road'), ('road', 'tram', 'tram stop'), ('road', 'tram'), ('tram stop',)]
)
def test_labels_follow_the_order_of_the_classes(write, classes):
    dataset = build(write(), *classes)
    assert named_boxes(dataset) == {name: NAMED[name] for name in classes}


def test_another_order_is_a_warning(write):
    with pytest.warns(UserWarning, match=r"order.*'tram', 'road'.*order.*'road', 'tram'"):
        build(write(), 'road', 'tram')


def precision_of(truth, dataset, file):
    """Measures of perfect predictions, which have the labels of one data set, by the file of another one."""
    predicted = dict(
        bboxes=torch.tensor([one['bbox'] for one in truth]).float(),
        labels=torch.tensor([one['bbox_label'] for one in truth]),
        scores=torch.ones(len(truth)),
    )
    metric = CocoMetric(ann_file=file, classwise=True)
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [dict(pred_instances=predicted, img_id=1, ori_shape=SIZE)])
    measures = metric.evaluate(1)
    return measures['coco/bbox_mAP'], measures['coco/tram stop_precision']


@pytest.mark.filterwarnings('ignore:The categories of the COCO file')
def test_files_of_different_orders_have_the_same_labels(write, tmp_path):
    classes = ('tram', 'tram stop', 'road')
    truth = build(write(), *classes).get_data_info(0)['instances']
    dataset = build(write(names=classes[::-1], file='val.json'), *classes)
    assert precision_of(truth, dataset, str(tmp_path / 'val.json')) == (1, 1)


def test_annotations_without_area_and_iscrowd(write, tmp_path):
    classes = ('tram', 'tram stop', 'road')
    with pytest.warns(UserWarning, match=r'trams\.json.*\b3\b.*3 annotations.*area'):
        dataset = build(write(missing=('area', 'iscrowd')), *classes)
    truth = dataset.get_data_info(0)['instances']
    assert named_boxes(dataset) == NAMED
    assert precision_of(truth, dataset, str(tmp_path / 'trams.json')) == (1, 1)


@pytest.fixture
def change(write, tmp_path):
    """Write a file after a change of its content; the arguments of the data set."""

    def change(edit):
        options = write()
        content = json.loads((tmp_path / 'trams.json').read_text())
        edit(content)
        (tmp_path / 'trams.json').write_text(json.dumps(content))
        return options

    return change


FIELDS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox'),
    categories=('id', 'name'),
)


@pytest.mark.parametrize(('table', 'field'), [(table, field) for table, fields in FIELDS.items() for field in fields])
@pytest.mark.parametrize('value', ['absent', None, [7]])
def test_field_of_the_json(change, table, field, value):
    """The second annotation has the number 2, the first image and category 1 and 4."""
    position = 1 if table == 'annotations' else 0

    def edit(content):
        entry = content[table][position]
        entry.pop(field) if value == 'absent' else entry.update({field: value})

    kind = dict(images='image', annotations='annotation', categories='category')[table]
    number = dict(images=1, annotations=2, categories=4)[table]
    name = f'number {position} of the list' if field == 'id' and value == 'absent' else f'{number}'
    name = '.*' if field == 'id' and value != 'absent' else name
    with pytest.raises(ValueError, match=rf'trams\.json.*{kind} {name}.*{field}'):
        build(change(edit))


@pytest.mark.parametrize(
    'edit',
    [
        lambda content: content.clear(),
        lambda content: content.pop('categories'),
        lambda content: content.update(categories=[]),
        lambda content: content.update(categories=None),
        lambda content: content.update(images=None),
        lambda content: content.update(annotations={}),
        lambda content: content['annotations'].append(7),
    ],
)
def test_tables_of_the_json(change, edit):
    with pytest.raises(ValueError, match=r'trams\.json'):
        build(change(edit))


@pytest.mark.parametrize('content', ['[]', '{', '', '[' * 100_000, '7'])
def test_json_that_holds_no_object(write, tmp_path, content):
    options = write()
    (tmp_path / 'trams.json').write_text(content)
    with pytest.raises(ValueError, match=r'trams\.json'):
        build(options)


@pytest.mark.parametrize(('kind', 'number'), [('image', 1), ('category', 4)])
def test_no_annotation_belongs_to_what_is_listed(change, kind, number):
    """A text is no number, so pycocotools would find no annotation of the image."""

    def edit(content):
        for annotation in content['annotations']:
            annotation[f'{kind}_id'] = str(annotation[f'{kind}_id'])

    with pytest.raises(ValueError, match=rf"trams\.json.*{kind}.*annotation 1.*'{number}'.*{number}"):
        build(change(edit))


def test_two_images_with_one_id(change):
    with pytest.raises(ValueError, match=r'trams\.json.*\b1\b'):
        build(change(lambda content: content['images'].append(content['images'][0])))


@pytest.mark.parametrize('value', ['0', 2, [1]])
def test_crowds_are_marked_by_0_or_1(change, value):
    with pytest.raises(ValueError, match=r'trams\.json.*annotation 2.*iscrowd='):
        build(change(lambda content: content['annotations'][1].update(iscrowd=value)))


def test_missing_file(write, tmp_path):
    options = write() | dict(ann_file='train.json')
    with pytest.raises(FileNotFoundError, match=r"train\.json.*'trams\.json'"):
        build(options)
    with pytest.raises(FileNotFoundError, match=r"train\.json.*'trams\.json'"):
        CocoMetric(ann_file=str(tmp_path / 'train.json'))


@pytest.mark.parametrize('area', ['9', -3, float('nan'), [4]])
def test_area_that_is_no_number(change, area):
    with pytest.raises(ValueError, match=r'trams\.json.*annotation 2.*area'):
        build(change(lambda content: content['annotations'][1].update(area=area)))


def test_area_and_iscrowd_of_null(change, tmp_path):
    def edit(content):
        for annotation in content['annotations']:
            annotation.update(area=None, iscrowd=None)

    classes = ('tram', 'tram stop', 'road')
    with pytest.warns(UserWarning, match=r'trams\.json.*\b3\b.*3 annotations.*area'):
        dataset = build(change(edit), *classes)
    truth = dataset.get_data_info(0)['instances']
    assert precision_of(truth, dataset, str(tmp_path / 'trams.json')) == (1, 1)


MASKS = [dict(type='mmdet.LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)]
POLYGON = [[1, 1, 9, 1, 9, 9]]


@pytest.mark.parametrize('segmentation', ['absent', None, [], POLYGON[0], 7, 'x', [7], {}])
def test_segmentation_that_is_none(change, segmentation):
    """An error only where the pipeline loads masks, and only of the classes that are learnt."""

    def edit(content):
        for annotation in content['annotations']:
            annotation['segmentation'] = POLYGON if annotation['id'] == 1 else segmentation
            if segmentation == 'absent' and annotation['id'] > 1:
                del annotation['segmentation']

    options = change(edit)
    assert build(options, pipeline=MASKS)[0]['gt_masks'].masks.shape == (1, *SIZE)
    assert build(options, 'tram', 'tram stop')
    with pytest.raises(ValueError, match=r'trams\.json.*annotation 2.*segmentation'):
        build(options, 'tram', 'tram stop', pipeline=MASKS)


def test_class_or_category_listed_twice(write):
    with pytest.raises(ValueError, match=r"trams\.json.*'tram'"):
        build(write(), 'tram', 'tram')
    options = write()
    path = f'{options["data_root"]}/trams.json'
    content = json.loads(open(path).read())
    content['categories'][1]['name'] = 'tram'  # what was the stop's
    open(path, 'w').write(json.dumps(content))
    with pytest.raises(ValueError, match=r'trams\.json.*4, 9.*1 classes'):
        build(options)


def test_boxes_that_mmdet_leaves_out(write):
    outside, partly, thin = [70, 5, 9, 9], [60, 5, 9, 9], [5, 5, 0.5, 9]
    with pytest.warns(UserWarning, match=r'trams\.json.*\b2\b.*3 boxes'):
        dataset = build(write(outside, partly, thin))
    assert named_boxes(dataset) == {'tram': partly}


@pytest.mark.parametrize('box', [[70, 5, 9, 9], [0.1, 0.1, 0.4, 0.8]], ids=['outside', 'in shares of the image'])
def test_no_box_that_can_be_used(write, box):
    with pytest.raises(ValueError, match=r'trams\.json.*2 boxes.*pixels'):
        build(write(box, box))


def test_corners_instead_of_sizes(write):
    with pytest.warns(UserWarning, match=r'trams\.json.*\b1\b.*2 boxes.*x1, y1, x2, y2'):
        build(write([20, 10, 20, 30], [50, 10, 60, 40]))  # corners of boxes of 10 x 30


def test_test_images_without_annotations(write):
    options = write()
    path = f'{options["data_root"]}/trams.json'
    content = json.loads(open(path).read())
    del content['annotations']
    open(path, 'w').write(json.dumps(content))
    assert len(build(options, test_mode=True)) == 1


@pytest.mark.parametrize('size', [(64, 48), (96, 128)])
def test_images_of_another_size(write, size):
    with pytest.raises(ValueError, match=rf'trams\.json.*image 1.*{size[0]}.*{size[1]}.*a\.png.*\b48\b.*\b64\b'):
        build(write(size=size))


def test_annotations_of_the_raw_pixels_of_a_turned_photo(write, tmp_path):
    options = write(name='a.jpg')
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new('RGB', SIZE[::-1]).save(tmp_path / 'images' / 'a.jpg', exif=exif)
    loader = dict(type='mmdet.LoadImageFromFile')
    with pytest.raises(ValueError, match="'color_ignore_orientation'"):
        build(options, pipeline=[loader])
    (sample,) = build(options, pipeline=[loader | dict(color_type='color_ignore_orientation')])
    assert sample['img_shape'] == SIZE == (sample['height'], sample['width'])
