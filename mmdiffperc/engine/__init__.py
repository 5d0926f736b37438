"""Training: hooks, the optimizer constructor, the sampler of mixed data sets, the sharding policy and transforms."""

from .check_finite_hook import CheckFiniteHook
from .disturb_image import DisturbImage
from .grouped_constructor import GroupedOptimWrapperConstructor
from .keep_clean_image import KeepCleanImage
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = [
    'CheckFiniteHook',
    'DisturbImage',
    'GroupedOptimWrapperConstructor',
    'KeepCleanImage',
    'MixedBatchSampler',
    'RandomStateHook',
    'wrap_diffusion_blocks',
]
