"""The parts for mmpose."""

from . import codec_check
from .checked_coco_dataset import CheckedCocoDataset
from .checked_coco_metric import CheckedCocoMetric
from .dataset_check import check_pose_files
from .inference import estimate_pose
from .meta_prompts_heatmap_neck import MetaPromptsHeatmapNeck

__all__ = [
    'CheckedCocoDataset',
    'CheckedCocoMetric',
    'MetaPromptsHeatmapNeck',
    'check_pose_files',
    'codec_check',
    'estimate_pose',
]
