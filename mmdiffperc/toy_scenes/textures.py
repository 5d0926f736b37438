"""Solid textures: each pattern is a function of 3-D points, so it needs no surface parametrisation."""

from dataclasses import dataclass

import numpy as np


def _parity(cells):
    return (np.floor(cells).astype(np.int32).sum(axis=1) % 2).astype(np.float32)


def _planks(p):
    shade = np.sin(np.floor(p[:, 0]) * 12.9898) * 43758.5453
    gap = (p[:, 0] % 1) < 0.06
    return np.where(gap, 1, 0.6 * (shade % 1)).astype(np.float32)


def _speckle(p):
    x, y, z = p.T
    waves = np.sin(3.1 * x + 1.7 * y) + np.sin(2.3 * y - 3.7 * z) + np.sin(4.3 * z + x)
    return (waves / 6 + 0.5).astype(np.float32)


def _bricks(p):
    course = np.floor(2 * p[:, 1])
    mortar = ((2 * p[:, 1]) % 1 < 0.14) | ((p[:, 0] + 0.5 * (course % 2)) % 1 < 0.07)
    return mortar.astype(np.float32)


def _noise(cells):
    """Return a number in [0, 1) for each cell, which looks random."""
    return np.sin(np.floor(cells) @ np.array([12.9898, 78.233, 37.719], np.float32)) * 437.58545 % 1


def _drifts(p):
    waves = np.sin(1.1 * p[:, 0] + 2.3 * p[:, 1]) + np.sin(2.9 * p[:, 0] - 1.7 * p[:, 1]) + np.sin(0.7 * p[:, 1])
    return (waves / 6 + 0.5).astype(np.float32)


def _ripples(p):
    return (0.5 + 0.5 * np.sin(2.6 * p[:, 1] + 1.2 * np.sin(0.9 * p[:, 0]) + 0.4 * p[:, 0])).astype(np.float32)


# Each maps points (N, 3), in cells, to weights (N,) in [0, 1].
PATTERNS = {
    'plain': lambda p: np.zeros(len(p), np.float32),
    'stripes': lambda p: _parity((p[:, :1] + 0.6 * p[:, 1:2]) * 1.3),
    'checker': _parity,
    'planks': _planks,
    'speckle': _speckle,
    'dots': lambda p: (((p % 1 - 0.5) ** 2).sum(axis=1) < 0.14).astype(np.float32),
    'rings': lambda p: _parity(np.linalg.norm(p, axis=1, keepdims=True) * 1.6),
    'plaid': lambda p: ((p % 1) < 0.35).mean(axis=1, dtype=np.float32),
    'zigzag': lambda p: _parity(p[:, 2:] + p[:, 1:2] + np.abs(p[:, :1] % 2 - 1)),
    'bricks': _bricks,
    'blades': lambda p: _noise(p * np.array([1, 0.35, 1], np.float32)),
    'grains': _noise,
    'drifts': _drifts,
    'ripples': _ripples,
}


@dataclass(frozen=True)
class Material:
    """The material of a surface.

    Args:
        colour (np.ndarray): Albedo (3,) where the pattern is 0.
        accent (np.ndarray): Albedo (3,) where the pattern is 1.
        pattern (str): Key of ``PATTERNS``.
        cell (float): Size of the pattern's cells, in metres.
        phase (np.ndarray): Shift (3,) of the pattern, in cells.
        specular (float): Strength of the highlight; 0 means matt.
    """

    colour: np.ndarray
    accent: np.ndarray
    pattern: str = 'plain'
    cell: float = 1.0
    phase: np.ndarray | float = 0.5
    specular: float = 0.0

    def albedo(self, points):
        """Return the albedo (N, 3) at points (N, 3), in metres in the frame of the object."""
        weight = PATTERNS[self.pattern](points / np.float32(self.cell) + np.float32(self.phase))[:, None]
        return (1 - weight) * self.colour + weight * self.accent
