"""Checks data sets of COCO's format against their classes and images.

mmdet silently leaves out classes that the file lacks (``mmdet/datasets/coco.py:70``), and boxes that lie
outside their image or are narrower than a pixel (``coco.py:144``). It does not compare the sizes in the file with the
images. An object without ``segmentation`` ends in a ``KeyError`` when its mask is loaded.

Delete when mmdet says what it leaves out or misses, and checks the sizes of images.
"""

import warnings
from collections import Counter

from mmengine import fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.coco_fields import check_entries, is_segmentation
from mmdiffperc.coco_images import CocoImage, check_images, warn_of_boxes_beyond
from mmdiffperc.files import brief, quoted, read_json
from mmdiffperc.nearest import nearest_names


def is_coco(dataset: BaseDataset) -> bool:
    """Return whether a data set has read the categories of a COCO file, as those of mmdet do."""
    return isinstance(getattr(dataset, 'cat_ids', None), list)


def check_categories(dataset: BaseDataset):
    """Check that each class of a data set is one category of its file.

    Raises:
        ValueError: A class is missing or listed twice, or two categories have its name.
    """
    classes = dataset.metainfo.get('classes') or ()
    if repeated := [name for name, count in Counter(classes).items() if count > 1]:
        raise ValueError(f'{dataset.ann_file}: metainfo lists the classes {quoted(repeated)} more than once')
    if len(dataset.cat_ids) < len(classes):
        raise ValueError(f'{dataset.ann_file}: {_missing_classes(dataset, classes)}')
    if classes and len(dataset.cat_ids) > len(classes):
        raise ValueError(
            f'{dataset.ann_file}: the ids {quoted(dataset.cat_ids)} stand for the {len(classes)} classes '
            f'{quoted(classes)}. Expected one category for each name; merge categories of equal names'
        )


def _missing_classes(dataset, classes):
    with fileio.get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:
        names = [category['name'] for category in read_json(path)['categories']]
    missing = [name for name in classes if name not in names]
    nearest = [brief(near) for name in missing[:3] for near in nearest_names(name, names)]
    guess = f'. Did you mean {" or ".join(nearest)}?' if nearest else '.'
    return (
        f'no category is called {quoted(missing)}; there are {quoted(names)}{guess} Set the classes in metainfo of the '
        'data set'
    )


def check_coco(dataset: BaseDataset):
    """Check the boxes and the images of a data set.

    Args:
        dataset (BaseDataset): With samples.

    Raises:
        FileNotFoundError: An image does not exist.
        ValueError: No box can be used, an image has another size than the file says, or the pipeline loads masks and an
            object has none.
    """
    samples = dataset.data_list
    if 'img_path' not in samples[0]:  # videos
        return
    if not dataset.backend_args:  # other storages may be slow, or unable to tell
        images = [CocoImage(one['img_path'], one['img_id'], (one['height'], one['width'])) for one in samples]
        check_images(images, dataset.ann_file, dataset.data_prefix.get('img', ''), dataset.pipeline.transforms)
    if 'segments_info' not in samples[0]:  # of panoptic segments, only some become boxes
        _check_boxes(dataset)
        if any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms):
            _check_masks(dataset)


def _check_boxes(dataset):
    per_image = Counter(image for category in dataset.cat_ids for image in dataset.cat_img_map.get(category, ()))
    annotated = sum(per_image[sample['img_id']] for sample in dataset.data_list)
    used = sum(len(sample['instances']) for sample in dataset.data_list)
    if annotated and not used:
        raise ValueError(
            f'{dataset.ann_file}: none of the {annotated} boxes can be used. Expected bbox=[x, y, width, height] in '
            'pixels, at least one pixel wide and high and inside the image, and an area above 0'
        )
    if used < annotated:
        warnings.warn(
            f'{dataset.ann_file}: {annotated - used} of the {annotated} boxes are left out. They lie outside their '
            'image, are narrower than a pixel, have no area, or are marked with ignore',
            stacklevel=2,
        )
    if used:
        boxes = [(one['bbox'], sample) for sample in dataset.data_list for one in sample['instances']]
        sizes = [(sample['height'], sample['width']) for _, sample in boxes]
        warn_of_boxes_beyond([box for box, _ in boxes], sizes, dataset.ann_file)


def _check_masks(dataset):
    masks = (one.get('mask') for sample in dataset.data_list for one in sample['instances'])
    if all(map(is_segmentation, masks)):
        return
    with fileio.get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:  # for the id
        annotations = read_json(path)['annotations']
    objects = [one for one in annotations if one['category_id'] in dataset.cat_ids and not one.get('ignore')]
    check_entries(dataset.ann_file, 'annotation', objects, ['segmentation'])
