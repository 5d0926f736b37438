"""The parts for mmsegmentation."""

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
from .inference import predict_depth, segment_phrase
from .load_rgb_image import LoadRGBImageFromFile
from .referring import (
    EvaluateAtInputSize,
    InputSizeVisualizer,
    LoadReferringMask,
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
    'LoadRGBImageFromFile',
    'LoadReferringMask',
    'MapillaryAsCityscapesDataset',
    'MaskedCrossEntropyLoss',
    'MaskedSiLogLoss',
    'MetaPromptsDepthHead',
    'MonocularDepthMetric',
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
