"""What mmsegmentation needs beside its own parts."""

from .brief_force_default_constructor import BriefForceDefaultOptimWrapperConstructor
from .checked_nyu_dataset import CheckedNYUDataset
from .checked_seg_dataset import CheckedSegDataset
from .dataset_check import check_seg_dataset
from .depth_check import CheckDepth
from .depth_estimator import DiffusionDepthEstimator
from .depth_head import AnySizeDepthHead
from .depth_loss import MaskedSiLogLoss
from .depth_metric import MonocularDepthMetric
from .depth_transforms import KBCrop
from .depth_tta_model import DepthTTAModel
from .image_loading import NamingImageLoader
from .inference import predict_depth, segment_phrase
from .input_size_visualizer import InputSizeVisualizer
from .kitti_depth_dataset import KITTIDepthDataset
from .mapillary_as_cityscapes import MapillaryAsCityscapesDataset
from .masked_cross_entropy import MaskedCrossEntropyLoss
from .meta_prompts_depth_head import MetaPromptsDepthHead
from .poly_rise_fall_lr import PolyRiseFallLR
from .refer_dataset import ReferringSegDataset
from .refer_metric import ReferringSegMetric
from .refer_transforms import EvaluateAtInputSize, LoadReferringMask
from .referring_segmentor import ReferringSegmentor
from .simple_decoding_head import SimpleDecodingHead
from .toy_scenes_dataset import ToyScenesDataset
from .transforms import CheckLabels

__all__ = [
    'AnySizeDepthHead',
    'BriefForceDefaultOptimWrapperConstructor',
    'CheckDepth',
    'CheckLabels',
    'CheckedNYUDataset',
    'CheckedSegDataset',
    'DepthTTAModel',
    'DiffusionDepthEstimator',
    'EvaluateAtInputSize',
    'InputSizeVisualizer',
    'KBCrop',
    'KITTIDepthDataset',
    'LoadReferringMask',
    'MapillaryAsCityscapesDataset',
    'MaskedCrossEntropyLoss',
    'MaskedSiLogLoss',
    'MetaPromptsDepthHead',
    'MonocularDepthMetric',
    'NamingImageLoader',
    'PolyRiseFallLR',
    'ReferringSegDataset',
    'ReferringSegMetric',
    'ReferringSegmentor',
    'SimpleDecodingHead',
    'ToyScenesDataset',
    'check_seg_dataset',
    'predict_depth',
    'segment_phrase',
]
