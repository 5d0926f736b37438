"""Domains: the appearance of scenes, for training and for testing generalisation.

- a: rooms;
- b: rooms with other patterns, warmer colours, and a lower, harder light;
- c: outdoors, under a sky and sometimes in fog, among trees, bushes, houses, rocks and posts;
- d: rooms as in a, as line drawings;
- e: rooms as in a, as noisy photos at night, in coloured light.

tiny-sd was pre-trained on domains a to d only, so that e is new to it as well.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Domain:
    """The appearance of a domain: the place, patterns, tint, light and distances.

    Args:
        object_patterns (tuple[str]): Keys of ``PATTERNS``; repetition makes a pattern more likely.
        floor_patterns (tuple[str]): The same for floors; outdoors, the kind of ground has its own pattern.
        wall_patterns (tuple[str]): The same for walls.
        tint (np.ndarray): Factors (3,) of the colours of paint and lamp.
        lamp_height (tuple[float]): Range, in metres.
        lamp_strength (tuple[float]): Range of the lamp's irradiance.
        ambient (tuple[float]): Range of the ambient irradiance.
        nearest (float): Distance of the nearest object from the viewer, in metres. Defaults to 2.3.
        figure_distance (tuple[float]): Range of a figure's distance, in metres. Defaults to (3.0, 5.5).
        max_width (float): Width of the largest object, in metres. Defaults to 1.5.
        repetition (float): Probability that some of the objects have the same class. Defaults to 0.
        outdoors (bool): Ground and sky instead of a room. Defaults to False.
        drawn (bool): Line drawings. Defaults to False.
        lamp_saturation (float): How coloured the lamp may be, from 0 to 1. Defaults to 0.
        noise (tuple[float], optional): Range of the standard deviation of the camera's noise. Default: none.
    """

    object_patterns: tuple
    floor_patterns: tuple
    wall_patterns: tuple
    tint: np.ndarray
    lamp_height: tuple
    lamp_strength: tuple
    ambient: tuple
    nearest: float = 2.3
    figure_distance: tuple = (3.0, 5.5)
    max_width: float = 1.5
    repetition: float = 0.0
    outdoors: bool = False
    drawn: bool = False
    lamp_saturation: float = 0.0
    noise: tuple | None = None


_A = Domain(
    object_patterns=('plain', 'plain', 'stripes', 'checker', 'speckle'),
    floor_patterns=('plain', 'planks', 'checker', 'speckle'),
    wall_patterns=('plain', 'plain', 'stripes', 'speckle'),
    tint=np.ones(3),
    lamp_height=(3.0, 6.0),
    lamp_strength=(0.55, 0.80),
    ambient=(0.40, 0.56),
)
DOMAINS = {
    'a': _A,
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
    'c': replace(
        _A,
        floor_patterns=(),
        wall_patterns=(),
        lamp_height=(70.0, 240.0),  # of the sun, which is 300 m away
        lamp_strength=(0.60, 0.76),
        ambient=(0.36, 0.46),
        nearest=3.8,
        figure_distance=(4.2, 8.5),
        max_width=2.6,
        repetition=0.45,
        outdoors=True,
    ),
    'd': replace(_A, repetition=0.45, drawn=True),
    'e': replace(_A, lamp_strength=(0.45, 0.75), ambient=(0.05, 0.12), lamp_saturation=0.85, noise=(0.02, 0.05)),
}
