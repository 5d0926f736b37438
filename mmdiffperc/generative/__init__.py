"""Models that generate their prediction as an image, with their data, metrics and inferencer."""

from .data import (
    ColourJitterJPEG,
    ImageTargetDataset,
    KBCrop,
    ListedTargetDataset,
    LoadPublishedTarget,
    LoadTarget,
    PackTargetInputs,
)
from .deterministic_diffusion import DeterministicDiffusion
from .deterministic_process import DeterministicProcess
from .diffusion_networks import DiffusionNetworks
from .evaluation import (
    ColouredSegMetric,
    DepthMapMetric,
    FollowProtocol,
    ImageErrorMetric,
    NormalMapMetric,
    ZeroShotDepthMetric,
    ZeroShotTestLoop,
)
from .losses import AngularLoss, GradientMatchingLoss, ImageLoss, LatentLoss, ScaleShiftInvariantLoss, TargetLoss
from .one_step_diffusion import OneStepDiffusion, PixelRegression
from .one_step_process import OneStepProcess
from .save_lora_hook import SaveLoRAHook
from .target_codec import TargetCodec
from .target_generator import TargetGenerator
from .target_inferencer import TargetInferencer

__all__ = [
    'AngularLoss',
    'ColourJitterJPEG',
    'ColouredSegMetric',
    'DepthMapMetric',
    'DeterministicDiffusion',
    'DeterministicProcess',
    'DiffusionNetworks',
    'FollowProtocol',
    'GradientMatchingLoss',
    'ImageErrorMetric',
    'ImageLoss',
    'ImageTargetDataset',
    'KBCrop',
    'LatentLoss',
    'ListedTargetDataset',
    'LoadPublishedTarget',
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
    'ZeroShotDepthMetric',
    'ZeroShotTestLoop',
]
