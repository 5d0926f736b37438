"""Values that an argument of a certain type cannot mean, whatever its annotation admits."""

import math
from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin

VALUES = {
    'None': None,
    'True': True,
    'zero': 0,
    'negative': -1,
    'huge': 10**12,
    'float': 1.5,
    'negative float': -0.5,
    'nan': math.nan,
    'inf': math.inf,
    'text': 'x',
    'digits': '5',
    'False in quotes': 'False',
    'empty text': '',
    'blank': ' ',
    'bytes': b'1',
    'empty list': [],
    'zeros': [0],
    'negatives': [-1, -1],
    'floats': [1.5, 2.5],
    'trues': [True, True],
    'nans': [math.nan],
    'texts': ['x', 'y'],
    'nested': [[1, 2], [3]],
    'list of None': [None],
    'dict': dict(x=1),
    'empty dict': {},
    'set': {1, 2},
    'object': object(),
    'class': object,
    'complex': 1j,
}
LARGEST = 2**31


def bad_values(hint) -> dict[str, object]:
    """Those of ``VALUES`` that no alternative of an annotation can mean."""
    alternatives = alternatives_of(hint)
    return {title: value for title, value in VALUES.items() if not any(means(value, kind) for kind in alternatives)}


def alternatives_of(hint) -> list:
    """The types in a union, without their constraints: a range is for the package to know, not for this oracle."""
    while get_origin(hint) is Annotated:
        hint = hint.__origin__
    if get_origin(hint) is Literal or get_origin(hint) is Sequence or not get_args(hint):
        return [hint]
    if get_origin(hint) in (list, tuple, dict):
        return [hint]
    return [one for alternative in get_args(hint) for one in alternatives_of(alternative)]


def means(value, kind) -> bool:
    """Whether a value makes sense as one of a type: a number is positive and not huge, a text or a list not empty."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is Sequence:
        (item,) = get_args(kind)
        return (
            isinstance(value, list)
            and bool(value)
            and all(any(means(x, y) for y in alternatives_of(item)) for x in value)
        )
    if kind in (None, NoneType):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return type(value) is int and 0 < value < LARGEST
    if kind is float:
        return type(value) in (int, float) and 0 < value < math.inf
    if kind is str:
        return isinstance(value, str) and bool(value.strip())
    if kind is dict or getattr(kind, '__total__', None) is not None:  # the latter a TypedDict
        return isinstance(value, dict)
    return isinstance(value, kind) if isinstance(kind, type) else True
