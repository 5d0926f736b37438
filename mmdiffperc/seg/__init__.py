"""The parts for mmsegmentation."""

from mmdiffperc.compat import mmcv_loading

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
from .load_rgb_image import LoadRGBImageFromFile
from .referring import (
    EvaluateAtInputSize,
    InputSizeVisualizer,
    LoadReferringMask,
    MaskedCrossEntropyLoss,
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
    SemanticInferencer,
    ToyScenesDataset,
)

mmcv_loading.install()

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
    'ReferringInferencer',
    'ReferringSegDataset',
    'ReferringSegMetric',
    'ReferringSegmentor',
    'SemanticInferencer',
    'SimpleDecodingHead',
    'ToyScenesDataset',
    'check_seg_dataset',
]
