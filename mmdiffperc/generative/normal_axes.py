"""The axes in which data sets and models give surface normals.

Everywhere in this package, normals are unit vectors in camera coordinates: x right, y up, z towards the viewer, so a
wall that faces the camera has (0, 0, 1). Other conventions are converted where normals are read.

A convention is written as three letters, the directions in which the three components grow: ``R`` or ``L`` (right,
left), ``U`` or ``D`` (up, down), ``B`` or ``F`` (back to the viewer, front). The letters are those of the normals that
point out of the surface, towards the viewer. A data set whose normals point into the surface has the opposite letters:
DSINE's coordinates are right, down, front, but its normals point inwards, so their components grow to the left, up and
back.
"""

from typing import Annotated

import numpy as np
from annotated_types import Predicate

from mmdiffperc.validation import Expected

INSIDE = 'RUB'
OPPOSITE = dict(zip('RLUDBF', 'LRDUFB', strict=True))
#: The axes of data sets and models, as their authors document them, and of the cameras of libraries.
AXES = {
    'DSINE': 'LUB',  # also NYUv2, ScanNet and so on in its evaluation data
    'GeoWizard': 'LUB',
    'Hypersim': 'RUB',
    'Marigold': 'RUB',
    'Omnidata': 'RDB',
    'StableNormal': 'LUB',
    '2D-3D-S': 'RDB',
    'toy': 'RUB',
    # As their code for training shows.
    'E2E-FT': 'LUB',
    'Lotus': 'LUB',
    # Coordinates of cameras.
    'OpenCV': 'RDF',
    'OpenGL': 'RUB',
    'PyTorch3D': 'LUF',
}


def _are_axes(axes: str) -> bool:
    """Return whether a text is a name, or has one letter of each pair, in any order."""
    return axes in AXES or (len(axes) == 3 and {min(axis, OPPOSITE.get(axis, '?')) for axis in axes} == set('LDB'))


Axes = Annotated[
    str,
    Predicate(_are_axes),
    Expected(f"three letters such as 'RUB', one each of R or L, U or D, B or F, or one of {', '.join(AXES)}"),
]


def to_inside(axes: str) -> np.ndarray:
    """Return the matrix ``(3, 3)`` that converts normals to the axes of this package; its transpose converts them back.

    Args:
        axes (str): A name in ``AXES``, or three letters.
    """
    letters = AXES.get(axes, axes)
    signs = [[(axis == letter) - (axis == OPPOSITE[letter]) for letter in letters] for axis in INSIDE]
    return np.array(signs, np.float32)


def corrected_axes(axes: str, found: str) -> str:
    """Return which letters ``axes`` should have had if normals converted from them turn out to have axes ``found``."""
    wrong = {letter for letter, right in zip(found, INSIDE, strict=True) if letter != right}
    letters = AXES.get(axes, axes)
    return ''.join(OPPOSITE[letter] if wrong & {letter, OPPOSITE[letter]} else letter for letter in letters)
