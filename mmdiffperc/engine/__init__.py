"""Training: hooks, the optimizer and its groups, the sampler of mixed data sets and the sharding policy."""

from .check_finite_hook import CheckFiniteHook
from .grouped_constructor import GroupedOptimWrapperConstructor
from .half_precision_hook import HalfPrecisionHook
from .low_memory_optim_wrapper import LowMemoryOptimWrapper
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = [
    'CheckFiniteHook',
    'GroupedOptimWrapperConstructor',
    'HalfPrecisionHook',
    'LowMemoryOptimWrapper',
    'MixedBatchSampler',
    'RandomStateHook',
    'wrap_diffusion_blocks',
]
