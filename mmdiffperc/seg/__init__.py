"""What mmsegmentation needs beside its own parts."""

from .dataset_check import check_seg_dataset
from .depth import (
    AnySizeDepthHead,
    BriefForceDefaultOptimWrapperConstructor,
    CheckDepth,
    CheckedNYUDataset,
    DepthInferencer,
    DepthTTAModel,
    DiffusionDepthEstimator,
    KBCrop,
    KITTIDepthDataset,
    MaskedSiLogLoss,
    MetaPromptsDepthHead,
    MonocularDepthMetric,
    PolyRiseFallLR,
)
from .image_loading import NamingImageLoader
from .referring import (
    EvaluateAtInputSize,
    InputSizeVisualizer,
    LoadReferringMask,
    ReferringInferencer,
    ReferringSegDataset,
    ReferringSegmentor,
    ReferringSegMetric,
    SimpleDecodingHead,
)
from .semantic import (
    CheckedSegDataset,
    CheckLabels,
    MapillaryAsCityscapesDataset,
    MaskedCrossEntropyLoss,
    SemanticInferencer,
    ToyScenesDataset,
)

__all__ = [
    'AnySizeDepthHead',
    'BriefForceDefaultOptimWrapperConstructor',
    'CheckDepth',
    'CheckLabels',
    'CheckedNYUDataset',
    'CheckedSegDataset',
    'DepthInferencer',
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
    'ReferringInferencer',
    'ReferringSegDataset',
    'ReferringSegMetric',
    'ReferringSegmentor',
    'SemanticInferencer',
    'SimpleDecodingHead',
    'ToyScenesDataset',
    'check_seg_dataset',
]
