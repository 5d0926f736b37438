"""Depth estimation."""

from .brief_force_default_constructor import BriefForceDefaultOptimWrapperConstructor
from .checked_nyu_dataset import CheckedNYUDataset
from .depth_check import CheckDepth
from .depth_estimator import DiffusionDepthEstimator
from .depth_head import AnySizeDepthHead
from .depth_loss import MaskedSiLogLoss
from .depth_metric import MonocularDepthMetric
from .depth_transforms import KBCrop
from .depth_tta_model import DepthTTAModel
from .inferencer import DepthInferencer
from .kitti_depth_dataset import KITTIDepthDataset
from .meta_prompts_depth_head import MetaPromptsDepthHead
from .poly_rise_fall_lr import PolyRiseFallLR

__all__ = [
    'AnySizeDepthHead',
    'BriefForceDefaultOptimWrapperConstructor',
    'CheckDepth',
    'CheckedNYUDataset',
    'DepthInferencer',
    'DepthTTAModel',
    'DiffusionDepthEstimator',
    'KBCrop',
    'KITTIDepthDataset',
    'MaskedSiLogLoss',
    'MetaPromptsDepthHead',
    'MonocularDepthMetric',
    'PolyRiseFallLR',
]
