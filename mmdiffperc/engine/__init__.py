"""Training: hooks, the optimizer and its groups, the sampler of mixed data sets, the sharding policy and transforms."""

from .check_finite_hook import CheckFiniteHook
from .compile_backbone_hook import CompileBackboneHook
from .compile_blocks_hook import CompileBlocksHook
from .disturb_image import DisturbImage
from .float32_ema_hook import Float32EMAHook, Float32ExponentialMovingAverage
from .grouped_constructor import GroupedOptimWrapperConstructor
from .half_precision_hook import HalfPrecisionHook
from .keep_clean_image import KeepCleanImage
from .low_memory_optim_wrapper import LowMemoryOptimWrapper
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks
from .store_latents_hook import StoreLatentsHook

__all__ = [
    'CheckFiniteHook',
    'CompileBackboneHook',
    'CompileBlocksHook',
    'DisturbImage',
    'Float32EMAHook',
    'Float32ExponentialMovingAverage',
    'GroupedOptimWrapperConstructor',
    'HalfPrecisionHook',
    'KeepCleanImage',
    'LowMemoryOptimWrapper',
    'MixedBatchSampler',
    'RandomStateHook',
    'StoreLatentsHook',
    'wrap_diffusion_blocks',
]
