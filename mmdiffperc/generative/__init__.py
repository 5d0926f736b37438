"""Models that generate their prediction as an image, with their data, metrics and inferencer."""

from .colour_jitter_jpeg import ColourJitterJPEG
from .coloured_segmentation import ColouredSegMetric
from .deterministic_diffusion import DeterministicDiffusion
from .deterministic_process import DeterministicProcess
from .diffusion_networks import DiffusionNetworks
from .kb_crop import KBCrop
from .listed_targets import ListedTargetDataset
from .losses import AngularLoss, GradientMatchingLoss, ImageLoss, LatentLoss, ScaleShiftInvariantLoss, TargetLoss
from .one_step_diffusion import OneStepDiffusion, PixelRegression
from .one_step_process import OneStepProcess
from .published_targets import LoadPublishedTarget
from .save_lora_hook import SaveLoRAHook
from .target_codec import TargetCodec
from .target_dataset import ImageTargetDataset
from .target_generator import TargetGenerator
from .target_inferencer import TargetInferencer
from .target_metrics import DepthMapMetric, ImageErrorMetric, NormalMapMetric
from .target_transforms import LoadTarget, PackTargetInputs
from .zero_shot import FollowProtocol, ZeroShotDepthMetric, ZeroShotTestLoop

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
