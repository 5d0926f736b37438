"""Data that comes with the package, and data sets that need no host."""

from .image_target_dataset import ImageTargetDataset
from .target_transforms import LoadTarget, PackTargetInputs

__all__ = ['ImageTargetDataset', 'LoadTarget', 'PackTargetInputs']
