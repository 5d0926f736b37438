"""What mmsegmentation needs beside its own parts."""

from .image_loading import NamingImageLoader
from .toy_scenes_dataset import ToyScenesDataset
from .transforms import CheckLabels

__all__ = ['CheckLabels', 'NamingImageLoader', 'ToyScenesDataset']
