"""Semantic segmentation."""

from .check_labels import CheckLabels
from .checked_seg_dataset import CheckedSegDataset
from .inferencer import SemanticInferencer
from .mapillary_as_cityscapes import MapillaryAsCityscapesDataset
from .toy_scenes_dataset import ToyScenesDataset

__all__ = [
    'CheckLabels',
    'CheckedSegDataset',
    'MapillaryAsCityscapesDataset',
    'SemanticInferencer',
    'ToyScenesDataset',
]
