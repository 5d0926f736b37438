"""Referring segmentation."""

from .inferencer import ReferringInferencer
from .input_size_visualizer import InputSizeVisualizer
from .masked_cross_entropy import MaskedCrossEntropyLoss
from .refer_dataset import ReferringSegDataset
from .refer_metric import ReferringSegMetric
from .refer_transforms import EvaluateAtInputSize, LoadReferringMask
from .referring_segmentor import ReferringSegmentor
from .simple_decoding_head import SimpleDecodingHead

__all__ = [
    'EvaluateAtInputSize',
    'InputSizeVisualizer',
    'LoadReferringMask',
    'MaskedCrossEntropyLoss',
    'ReferringInferencer',
    'ReferringSegDataset',
    'ReferringSegMetric',
    'ReferringSegmentor',
    'SimpleDecodingHead',
]
