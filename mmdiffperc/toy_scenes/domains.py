"""Domains: the appearance of scenes, for training and for testing generalisation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Domain:
    """The patterns, tint and light of a domain.

    Args:
        object_patterns (tuple[str]): Keys of ``PATTERNS``; repetition makes a pattern more likely.
        floor_patterns (tuple[str]): The same for floors.
        wall_patterns (tuple[str]): The same for walls.
        tint (np.ndarray): Factors (3,) of the colours of paint and lamp.
        lamp_height (tuple[float]): Range, in metres.
        lamp_strength (tuple[float]): Range of the lamp's irradiance.
        ambient (tuple[float]): Range of the ambient irradiance.
    """

    object_patterns: tuple
    floor_patterns: tuple
    wall_patterns: tuple
    tint: np.ndarray
    lamp_height: tuple
    lamp_strength: tuple
    ambient: tuple


DOMAINS = {
    'a': Domain(
        object_patterns=('plain', 'plain', 'stripes', 'checker', 'speckle'),
        floor_patterns=('plain', 'planks', 'checker', 'speckle'),
        wall_patterns=('plain', 'plain', 'stripes', 'speckle'),
        tint=np.ones(3),
        lamp_height=(3.0, 6.0),
        lamp_strength=(0.55, 0.80),
        ambient=(0.40, 0.56),
    ),
    # Other patterns, warmer paint and light (within the limits of each colour name), longer and harder shadows.
    'b': Domain(
        object_patterns=('dots', 'rings', 'plaid', 'zigzag'),
        floor_patterns=('zigzag', 'dots', 'plaid'),
        wall_patterns=('plaid', 'bricks', 'dots'),
        tint=np.array([1.04, 0.98, 0.89]),
        lamp_height=(2.0, 3.6),
        lamp_strength=(0.80, 1.00),
        ambient=(0.22, 0.34),
    ),
}
