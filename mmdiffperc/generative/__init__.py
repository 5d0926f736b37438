"""Models that keep the generator and draw their answer, with their data, metrics and prediction."""

from .coloured_seg_metric import ColouredSegMetric
from .depth_map_metric import DepthMapMetric
from .deterministic_diffusion import DeterministicDiffusion, PixelRegression
from .deterministic_process import DeterministicProcess
from .diffusion_networks import DiffusionNetworks
from .image_error_metric import ImageErrorMetric
from .image_target_dataset import ImageTargetDataset
from .multi_target_inferencer import MultiTargetInferencer
from .normal_map_metric import NormalMapMetric
from .save_lora_hook import SaveLoRAHook
from .target_codec import TargetCodec
from .target_inferencer import TargetInferencer
from .target_transforms import LoadTarget, PackTargetInputs

__all__ = [
    'ColouredSegMetric',
    'DepthMapMetric',
    'DeterministicDiffusion',
    'DeterministicProcess',
    'DiffusionNetworks',
    'ImageErrorMetric',
    'ImageTargetDataset',
    'LoadTarget',
    'MultiTargetInferencer',
    'NormalMapMetric',
    'PackTargetInputs',
    'PixelRegression',
    'SaveLoRAHook',
    'TargetCodec',
    'TargetInferencer',
]
