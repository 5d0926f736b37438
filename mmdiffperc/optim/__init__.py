"""Optimizer wrapper constructors for mmengine's Runner."""

from .grouped_constructor import GroupedOptimWrapperConstructor

__all__ = ['GroupedOptimWrapperConstructor']
