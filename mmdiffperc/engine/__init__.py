"""Training: hooks, the optimizer constructor, the sampler of mixed data sets, the sharding policy and a transform."""

from .check_finite_hook import CheckFiniteHook
from .grouped_constructor import GroupedOptimWrapperConstructor
from .keep_clean_image import KeepCleanImage
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = [
    'CheckFiniteHook',
    'GroupedOptimWrapperConstructor',
    'KeepCleanImage',
    'MixedBatchSampler',
    'RandomStateHook',
    'wrap_diffusion_blocks',
]
