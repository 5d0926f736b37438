"""Mapillary Vistas in the classes of Cityscapes, for pre-training."""

from mmseg.datasets import CityscapesDataset, MapillaryDataset_v1
from mmseg.registry import DATASETS

from mmdiffperc.files import quoted
from mmdiffperc.validation import validated

# Mapillary's classes (v1.2) for each class of Cityscapes; all others are ignored.
SOURCES = {
    'road': ('Road', 'Lane Marking - General', 'Manhole'),
    'sidewalk': ('Sidewalk', 'Curb'),
    'building': ('Building',),
    'wall': ('Wall',),
    'fence': ('Fence',),
    'pole': ('Pole', 'Utility Pole'),
    'traffic light': ('Traffic Light',),
    'traffic sign': ('Traffic Sign (Front)',),
    'vegetation': ('Vegetation',),
    'terrain': ('Terrain',),
    'sky': ('Sky',),
    'person': ('Person',),
    'rider': ('Bicyclist', 'Motorcyclist', 'Other Rider'),
    'car': ('Car',),
    'truck': ('Truck',),
    'bus': ('Bus',),
    'train': ('On Rails',),
    'motorcycle': ('Motorcycle',),
    'bicycle': ('Bicycle',),
}
IGNORED = 255


@DATASETS.register_module()
@validated
class MapillaryAsCityscapesDataset(MapillaryDataset_v1):
    """mmseg's Mapillary Vistas v1.2, whose label maps (pixels 0 to 65) are read as Cityscapes' 19 train ids.

    MetaPrompts (arXiv 2312.14733) pre-trains on Mapillary before Cityscapes; the classes are assigned as in its
    ``segmentation/mapillary_v1.py``. All others, such as water, crosswalks or bike lanes, become 255, which
    losses ignore.
    """

    METAINFO = CityscapesDataset.METAINFO

    @classmethod
    def get_label_map(cls, new_classes=None) -> dict[int, int]:
        """Return Cityscapes' train id, or 255, for each of Mapillary's labels.

        Raises:
            ValueError: ``metainfo`` has other classes than Cityscapes' 19.
        """
        classes = list(cls.METAINFO['classes'])
        if new_classes is not None and list(new_classes) != classes:
            raise ValueError(
                f'{cls.__name__} has the 19 classes of Cityscapes, but metainfo has {quoted(new_classes)}. Remove '
                'them, or use MapillaryDataset_v1 for the classes of Mapillary.'
            )
        train_ids = {source: classes.index(name) for name, sources in SOURCES.items() for source in sources}
        labels = enumerate(MapillaryDataset_v1.METAINFO['classes'])
        return {label: train_ids.get(name, IGNORED) for label, name in labels}
