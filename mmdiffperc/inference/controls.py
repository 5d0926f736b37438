"""The options that a person sets for each image."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Control:
    """An option of an inferencer's call that a person sets for each image; the browser page shows it as a widget.

    Args:
        name (str): The keyword argument of the call.
        kind (str): ``'text'``: a sentence. ``'choice'``: one of ``choices``, or None. ``'count'``: a positive integer.
            ``'score'``: a number in [0, 1]. ``'boxes'``: a list of boxes ``x1, y1, x2, y2`` in pixels, or None.
        label (str): The title of the widget.
        hint (str): A sentence below the title.
        default (int | float, optional): The initial count or score.
        choices (tuple[str, ...]): The values to choose from.
    """

    name: str
    kind: Literal['text', 'choice', 'count', 'score', 'boxes']
    label: str
    hint: str = ''
    default: float | None = None
    choices: tuple[str, ...] = ()
