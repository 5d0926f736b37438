"""Images with target maps: data sets, their files, and the transforms that load them."""

from .colour_jitter_jpeg import ColourJitterJPEG
from .kb_crop import KBCrop
from .listed_targets import ListedTargetDataset
from .published_targets import LoadPublishedTarget
from .target_dataset import ImageTargetDataset
from .target_transforms import LoadTarget, PackTargetInputs

__all__ = [
    'ColourJitterJPEG',
    'ImageTargetDataset',
    'KBCrop',
    'ListedTargetDataset',
    'LoadPublishedTarget',
    'LoadTarget',
    'PackTargetInputs',
]
