"""What mmpose needs beside its own parts."""

from . import codec_check
from .checked_coco_dataset import CheckedCocoDataset
from .checked_coco_metric import CheckedCocoMetric
from .inferencer import PoseInferencer
from .meta_prompts_heatmap_neck import MetaPromptsHeatmapNeck

__all__ = ['CheckedCocoDataset', 'CheckedCocoMetric', 'MetaPromptsHeatmapNeck', 'PoseInferencer', 'codec_check']
