"""What the prediction of every task shares: readers of images, and what happens to those that cannot be read."""

from .tolerant_reader import TolerantReader

__all__ = ['TolerantReader']
