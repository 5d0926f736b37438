"""Prompts: what the U-Net is told to look for."""

from .class_prompts import ClassPrompts

__all__ = ['ClassPrompts']
