"""Training: hooks, the optimizer constructor, the sampler of mixed data sets and the sharding policy."""

from .check_finite_hook import CheckFiniteHook
from .grouped_constructor import GroupedOptimWrapperConstructor
from .half_precision_hook import HalfPrecisionHook
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = [
    'CheckFiniteHook',
    'GroupedOptimWrapperConstructor',
    'HalfPrecisionHook',
    'MixedBatchSampler',
    'RandomStateHook',
    'wrap_diffusion_blocks',
]
