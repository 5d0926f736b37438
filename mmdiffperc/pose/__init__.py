"""What mmpose needs beside its own parts."""

from . import codec_check
from .checked_coco_dataset import CheckedCocoDataset
from .checked_coco_metric import CheckedCocoMetric
from .inference import estimate_pose
from .meta_prompts_heatmap_neck import MetaPromptsHeatmapNeck

__all__ = ['CheckedCocoDataset', 'CheckedCocoMetric', 'MetaPromptsHeatmapNeck', 'codec_check', 'estimate_pose']
