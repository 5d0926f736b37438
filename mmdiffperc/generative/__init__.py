"""Models that generate their prediction as an image, with their data, metrics and inferencer."""

from .colour_jitter_jpeg import ColourJitterJPEG
from .coloured_segmentation import ColouredSegMetric
from .deterministic_diffusion import DeterministicDiffusion
from .deterministic_process import DeterministicProcess
from .diffusion_networks import DiffusionNetworks
from .losses import AngularLoss, GradientMatchingLoss, ImageLoss, LatentLoss, ScaleShiftInvariantLoss, TargetLoss
from .one_step_diffusion import OneStepDiffusion, PixelRegression
from .one_step_process import OneStepProcess
from .save_lora_hook import SaveLoRAHook
from .target_codec import TargetCodec
from .target_dataset import ImageTargetDataset, LoadTarget, PackTargetInputs
from .target_generator import TargetGenerator
from .target_inferencer import TargetInferencer
from .target_metrics import DepthMapMetric, ImageErrorMetric, NormalMapMetric

__all__ = [
    'AngularLoss',
    'ColourJitterJPEG',
    'ColouredSegMetric',
    'DepthMapMetric',
    'DeterministicDiffusion',
    'DeterministicProcess',
    'DiffusionNetworks',
    'GradientMatchingLoss',
    'ImageErrorMetric',
    'ImageLoss',
    'ImageTargetDataset',
    'LatentLoss',
    'LoadTarget',
    'NormalMapMetric',
    'OneStepDiffusion',
    'OneStepProcess',
    'PackTargetInputs',
    'PixelRegression',
    'SaveLoRAHook',
    'ScaleShiftInvariantLoss',
    'TargetCodec',
    'TargetGenerator',
    'TargetInferencer',
    'TargetLoss',
]
