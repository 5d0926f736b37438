"""Structured descriptions of objects, and their evaluation: which instances match."""

from dataclasses import dataclass, replace

import numpy as np


def _centre_x(instance):
    return instance.bbox[0] + instance.bbox[2] / 2


def _distance(instance):
    return float(-instance.position[2])


def _log_area(instance):
    return float(np.log(instance.area))


@dataclass(frozen=True)
class Order:
    """A way to compare instances.

    Args:
        key (Callable): Maps an instance to a number; smaller numbers match better.
        margin (float): The smallest difference that the eye can judge, in units of the image width if ``relative``.
        relative (bool): See ``margin``. Defaults to False.
    """

    key: object
    margin: float
    relative: bool = False


RELATIONS = {
    'left': Order(_centre_x, 0.06, relative=True),
    'right': Order(lambda instance: -_centre_x(instance), 0.06, relative=True),
    'front': Order(_distance, 0.35),
    'behind': Order(lambda instance: -_distance(instance), 0.35),
}
SUPERLATIVES = {
    'leftmost': RELATIONS['left'],
    'rightmost': RELATIONS['right'],
    'nearest': RELATIONS['front'],
    'farthest': RELATIONS['behind'],
    'largest': Order(lambda instance: -_log_area(instance), 0.25),
    'smallest': Order(_log_area, 0.25),
}


@dataclass(frozen=True)
class Expression:
    """A description such as "the red sphere left of the blue box".

    Args:
        class_name (str, optional): Class of the object; None means any object.
        colour (str, optional): Its colour.
        superlative (str, optional): Key of ``SUPERLATIVES``, among the objects with this class and colour.
        relation (str, optional): Key of ``RELATIONS``.
        anchor (Expression, optional): The object that the relation refers to.
    """

    class_name: str | None = None
    colour: str | None = None
    superlative: str | None = None
    relation: str | None = None
    anchor: 'Expression | None' = None


def evaluate(expression, instances, width, strictness=0.0):
    """Find the instances that match an expression.

    Args:
        expression (Expression): The description.
        instances (Sequence[Instance]): The instances of a rendering.
        width (int): Width of the image, in pixels.
        strictness (float): Number of margins by which comparisons must hold. With a negative number, near ties match,
            too. Defaults to 0.

    Returns:
        set[int]: The ``index`` of each.
    """
    fitting = [
        instance
        for instance in instances
        if expression.class_name in (None, instance.class_name) and expression.colour in (None, instance.colour)
    ]
    if expression.relation:
        fitting = _related(expression, fitting, instances, width, strictness)
    if expression.superlative and fitting:
        fitting = _extreme(SUPERLATIVES[expression.superlative], fitting, width, strictness)
    return {instance.index for instance in fitting}


def is_unambiguous(expression, instances, width, index):
    """Return whether an expression clearly matches the instance ``index`` and nearly matches no other."""
    return all(evaluate(expression, instances, width, strictness) == {index} for strictness in (-1, 0, 1))


def decisive_part(expression, instances, width):
    """Return which part of an expression singles out its object: without it, the expression matches others, too.

    Returns:
        str | None: ``'relation'``, ``'superlative'`` or ``'colour'``; ``'class'`` if the class alone suffices; None for
        a relation that is not necessary.
    """
    if expression.relation:
        return 'relation' if _is_shared(expression, instances, width, relation=None, anchor=None) else None
    if expression.superlative:
        return 'superlative'
    return 'colour' if _is_shared(expression, instances, width, colour=None) else 'class'


def _is_shared(expression, instances, width, **without):
    return len(evaluate(replace(expression, **without), instances, width)) > 1


def _margin(order, width, strictness):
    return strictness * order.margin * (width if order.relative else 1)


def _related(expression, fitting, instances, width, strictness):
    order = RELATIONS[expression.relation]
    anchors = evaluate(expression.anchor, instances, width, strictness)
    # "The blue box" implies that there is exactly one.
    if len(anchors) != 1:
        return []
    (anchor,) = (instance for instance in instances if instance.index in anchors)
    limit = order.key(anchor) - _margin(order, width, strictness)
    return [instance for instance in fitting if instance is not anchor and order.key(instance) < limit]


def _extreme(order, fitting, width, strictness):
    """Return the instances that precede all others by a margin, or nearly do so if the strictness is negative."""
    margin = _margin(order, width, strictness)
    return [
        one
        for one in fitting
        if all(order.key(one) <= order.key(other) - margin for other in fitting if other is not one)
    ]
