"""What is likely wrong with depth: its unit, its range, its bits, or a value for pixels that were not measured."""

import math
from typing import NamedTuple

import numpy as np

# Metres in a unit of the usual depth files, the coarsest first.
UNITS = {1 / 256: "KITTI's 1/256 m", 1e-3: 'millimetres', 2e-4: "TUM's 0.2 mm", 1e-4: '0.1 mm'}
HIGHEST_BYTE = 255
# The highest numbers of 16 bits, with and without a sign, and the last but one. They hardly ever are a depth.
MARKS = (65535, 65534, 32767)
# Depth that ends below this share of the range has too few bits: numbers up to 255 in any file, and a file of 8 bits.
NEAR, NEAR_IN_8_BITS = 0.1, 0.25
SHORTEST_RANGE = 4.0  # metres; taken for the range where no CheckDepth tells it
# Shares of the measured pixels beyond the range from which on something is wrong: of any values, and of a single one.
SHARE_BEYOND, SHARE_CONSTANT = 0.1, 1e-3
# A value that marks pixels stands alone: all others stay below this share of it.
ALONE = 0.9
# From this share beyond the range on, the unit is a likelier cause than deep scenes.
MOST = 0.5
ROUNDING = 1 + 1e-5  # of factors that a config has in six digits


class DepthFault(NamedTuple):
    """What is likely wrong with depth.

    Args:
        kind (str): 'unit', 'mark' (of pixels that were not measured), 'range', 'bits' or 'empty'.
        text (str): What was found, and what to do.
    """

    kind: str
    text: str


def measured(depth: np.ndarray) -> np.ndarray:
    """Return the depth of the pixels that have any."""
    return depth[(depth > 0) & np.isfinite(depth)]


def find_fault(
    depth: np.ndarray, factor: float, max_depth: float = math.inf, has_8_bits: bool = False
) -> DepthFault | None:
    """Find what is likely wrong with depth, the gravest first.

    Args:
        depth (np.ndarray): Measured depth in metres, of any shape.
        factor (float): Metres in a unit of the file.
        max_depth (float): In metres. By default, any depth is possible.
        has_8_bits (bool): Whether it comes from files of 8 bits. Defaults to False.
    """
    if not depth.size:
        return None
    limit = max_depth * ROUNDING
    marks, rest = _split_marks(depth, factor, limit)
    share_beyond = (rest > limit).mean() if rest.size else 0
    if share_beyond == 1:
        return DepthFault('unit', _wrong_unit(rest, factor, max_depth))
    if marks:
        return DepthFault('mark', _marked(marks, 1 - rest.size / depth.size, factor))
    if share_beyond > SHARE_BEYOND:
        return DepthFault('range', _beyond(rest, share_beyond, factor, max_depth))
    near = (NEAR_IN_8_BITS if has_8_bits else NEAR) * (max_depth if math.isfinite(max_depth) else SHORTEST_RANGE)
    if fits_byte(rest.max(), factor) and HIGHEST_BYTE * factor < near:
        return DepthFault('bits', _few_bits(factor, max_depth))
    return None


def fits_byte(farthest: float, factor: float) -> bool:
    """Return whether the farthest depth is at most 255 in the file."""
    return farthest <= HIGHEST_BYTE * factor * ROUNDING


def _split_marks(depth, factor, limit):
    """The values that mark pixels, and the depth of the other ones."""
    marks, rest, enough = [], depth, SHARE_CONSTANT * depth.size
    for number in MARKS:
        if rest.size and rest.max() > (number - 0.5) * factor:
            others = rest[np.abs(rest - number * factor) > factor / 2]
            if rest.size - others.size > enough:
                marks, rest = [*marks, number * factor], others
    farthest = rest.max(initial=0)
    if not marks and ALONE * farthest > limit:
        others = rest[rest < farthest]
        second = others.max(initial=0)
        if 0 < second and (second <= limit or second < ALONE * farthest) and rest.size - others.size > enough:
            marks, rest = [*marks, farthest], others
    return marks, rest


def _likely_unit(depth, factor, max_depth):
    far = np.percentile(depth, 95) / factor  # a few pixels of any file are wrong
    # The coarsest that fits: finer ones would put all of the scene right in front of the camera.
    unit = next((unit for unit in UNITS if far * unit < max_depth), None)
    return f'{unit:.6g}, for {UNITS[unit]}' if unit else 'none of the usual ones'


def _wrong_unit(depth, factor, max_depth):
    return (
        f'all depth lies beyond max_depth = {max_depth}, from {depth.min():.6g} to {depth.max():.6g}, so its unit is '
        'probably not the metre. Likely depth_rescale_factor of LoadDepthAnnotation: '
        f'{_likely_unit(depth, factor, max_depth)}'
    )


def _marked(marks, share, factor):
    numbers = ' or '.join(f'{value / factor:.6g}' for value in marks)
    metres = ' or '.join(f'{value:.6g}' for value in marks)
    return (
        f'{share:.2%} of the depth is {numbers} in the file, {metres} m. It likely marks pixels that were not '
        'measured: write 0 there, and do so before the maps are resized'
    )


def _beyond(depth, share, factor, max_depth):
    likely = f' (likely {_likely_unit(depth, factor, max_depth)})' if share > MOST else ''
    return (
        f'{share:.0%} of the depth lies beyond max_depth = {max_depth}, up to {depth.max():.6g}. If the scenes are '
        'that deep, raise max_depth of the head, of CheckDepth and of the metric, or write 0 where the depth does not '
        f'matter. If the unit is wrong, set depth_rescale_factor of LoadDepthAnnotation{likely}. If the maps were '
        'resized with a value for pixels that were not measured, write 0 there and resize again with nearest neighbours'
    )


def _few_bits(factor, max_depth):
    farthest = max_depth if math.isfinite(max_depth) else 10.0
    return (
        f'no number in the file exceeds {HIGHEST_BYTE}, so all depth lies within {HIGHEST_BYTE * factor:.6g} m. A map '
        f'of 8 bits is unlikely to have the unit of depth_rescale_factor = {factor:.6g}: set '
        f'{farthest / HIGHEST_BYTE:.6g} if {HIGHEST_BYTE} stands for {farthest:g} m, or get the map of 16 '
        'bits. If the scenes are that near, lower max_depth of the head, of CheckDepth and of the metric'
    )
