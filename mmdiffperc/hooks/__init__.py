"""Hooks for mmengine's Runner."""

from .random_state_hook import RandomStateHook
from .save_lora_hook import SaveLoRAHook

__all__ = ['RandomStateHook', 'SaveLoRAHook']
