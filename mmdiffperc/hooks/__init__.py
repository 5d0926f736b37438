"""Hooks for mmengine's Runner."""

from .check_finite_hook import CheckFiniteHook
from .random_state_hook import RandomStateHook
from .save_lora_hook import SaveLoRAHook

__all__ = ['CheckFiniteHook', 'RandomStateHook', 'SaveLoRAHook']
