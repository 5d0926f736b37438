"""The parts for mmpose."""

from mmdiffperc.compat.host_imports import host_imports

with host_imports():
    from . import codec_check
    from .checked_coco_dataset import CheckedCocoDataset
    from .checked_coco_metric import CheckedCocoMetric
    from .dataset_check import check_pose_files
    from .inferencer import PoseInferencer
    from .instance_norm_heatmap_head import InstanceNormHeatmapHead
    from .meta_prompts_heatmap_neck import MetaPromptsHeatmapNeck
    from .require_keypoints import RequireKeypoints

__all__ = [
    'CheckedCocoDataset',
    'CheckedCocoMetric',
    'InstanceNormHeatmapHead',
    'MetaPromptsHeatmapNeck',
    'PoseInferencer',
    'RequireKeypoints',
    'check_pose_files',
    'codec_check',
]
