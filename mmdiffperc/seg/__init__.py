"""The parts for mmsegmentation."""

from mmdiffperc.compat import mmcv_loading
from mmdiffperc.compat.host_imports import host_imports

with host_imports():
    from .batched_views import BatchedSegTTAModel
    from .dataset_check import check_seg_dataset
    from .depth.brief_force_default_constructor import BriefForceDefaultOptimWrapperConstructor
    from .depth.checked_nyu_dataset import CheckedNYUDataset
    from .depth.depth_check import CheckDepth
    from .depth.depth_estimator import DiffusionDepthEstimator
    from .depth.depth_head import AnySizeDepthHead
    from .depth.depth_loss import MaskedSiLogLoss
    from .depth.depth_metric import MonocularDepthMetric
    from .depth.depth_tta_model import DepthTTAModel
    from .depth.inferencer import DepthInferencer
    from .depth.kitti_depth_dataset import KITTIDepthDataset
    from .depth.meta_prompts_depth_head import MetaPromptsDepthHead
    from .depth.metric_bins_head import MetricBinsDepthHead
    from .depth.poly_rise_fall_lr import PolyRiseFallLR
    from .depth.target_as_depth_map import TargetAsDepthMap
    from .load_rgb_image import LoadRGBImageFromFile
    from .referring.inferencer import ReferringInferencer
    from .referring.input_size_visualizer import InputSizeVisualizer
    from .referring.masked_cross_entropy import MaskedCrossEntropyLoss
    from .referring.polynomial_lr import PolynomialLR
    from .referring.refer_dataset import ReferringSegDataset
    from .referring.refer_metric import ReferringSegMetric
    from .referring.refer_transforms import EvaluateAtInputSize, LoadReferringMask
    from .referring.referring_segmentor import ReferringSegmentor
    from .referring.simple_decoding_head import SimpleDecodingHead
    from .semantic.check_labels import CheckLabels
    from .semantic.checked_seg_dataset import CheckedSegDataset
    from .semantic.diffusion_segmentor import DiffusionSegmentor
    from .semantic.inferencer import SemanticInferencer
    from .semantic.mapillary_as_cityscapes import MapillaryAsCityscapesDataset
    from .semantic.toy_scenes_dataset import ToyScenesDataset

mmcv_loading.install()

__all__ = [
    'AnySizeDepthHead',
    'BatchedSegTTAModel',
    'BriefForceDefaultOptimWrapperConstructor',
    'CheckDepth',
    'CheckLabels',
    'CheckedNYUDataset',
    'CheckedSegDataset',
    'DepthInferencer',
    'DepthTTAModel',
    'DiffusionDepthEstimator',
    'DiffusionSegmentor',
    'EvaluateAtInputSize',
    'InputSizeVisualizer',
    'KITTIDepthDataset',
    'LoadRGBImageFromFile',
    'LoadReferringMask',
    'MapillaryAsCityscapesDataset',
    'MaskedCrossEntropyLoss',
    'MaskedSiLogLoss',
    'MetaPromptsDepthHead',
    'MetricBinsDepthHead',
    'MonocularDepthMetric',
    'PolyRiseFallLR',
    'PolynomialLR',
    'ReferringInferencer',
    'ReferringSegDataset',
    'ReferringSegMetric',
    'ReferringSegmentor',
    'SemanticInferencer',
    'SimpleDecodingHead',
    'TargetAsDepthMap',
    'ToyScenesDataset',
    'check_seg_dataset',
]
