"""Training: hooks, the optimizer constructor, the sampler of mixed data sets and the sharding policy."""

from .check_finite_hook import CheckFiniteHook
from .compile_blocks_hook import CompileBlocksHook
from .grouped_constructor import GroupedOptimWrapperConstructor
from .mixed_batch_sampler import MixedBatchSampler
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = [
    'CheckFiniteHook',
    'CompileBlocksHook',
    'GroupedOptimWrapperConstructor',
    'MixedBatchSampler',
    'RandomStateHook',
    'wrap_diffusion_blocks',
]
