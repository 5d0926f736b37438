"""Training: hooks, the optimizer constructor and the sharding policy."""

from .check_finite_hook import CheckFiniteHook
from .grouped_constructor import GroupedOptimWrapperConstructor
from .random_state_hook import RandomStateHook
from .sharding import wrap_diffusion_blocks

__all__ = ['CheckFiniteHook', 'GroupedOptimWrapperConstructor', 'RandomStateHook', 'wrap_diffusion_blocks']
