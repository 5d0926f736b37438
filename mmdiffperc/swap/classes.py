"""The number of classes that the heads in a model's config predict."""

from collections import Counter
from collections.abc import Iterator

from mmdiffperc.files import brief

from .channels import NO_HEADS

NOT_OF_THE_DATA_SET = (*NO_HEADS, 'rpn_head')  # region proposals only tell objects from background
DEPENDENT = ('num_classes', 'num_things_classes', 'num_stuff_classes', 'class_weight')


def set_num_classes(model: dict, number: int) -> tuple[list[str], list[str]]:
    """Set ``num_classes`` in all heads that predict the classes of the data set.

    These are the heads with the number that most of them have. Others keep theirs, such as the one of STDC that
    predicts boundaries.

    Args:
        model (dict): Config of the model, changed in place.
        number (int): Number of classes.

    Returns:
        tuple[list[str], list[str]]: The keys that were changed, and ``key=value`` of settings that depend on the
        classes and were left as they are. Both are empty if the number stays the same.
    """
    heads = dict(_parts_with('num_classes', model, 'model'))
    counts = Counter(head['num_classes'] for head in heads.values())
    if not counts or set(counts) == {number}:
        return [], []
    ((old, _),) = counts.most_common(1)
    changed = [f'{key}.num_classes' for key, head in heads.items() if head['num_classes'] == old != number]
    for head in heads.values():
        if head['num_classes'] == old:
            head.update({name: number for name in ('num_classes', 'out_channels') if head.get(name) == old})
    dependent = ((f'{key}.{name}', part[name]) for name in DEPENDENT for key, part in _parts_with(name, model, 'model'))
    left = [f'{key}={brief(value)}' for key, value in dependent if key not in changed and value not in (None, number)]
    return changed, left if changed else []


def _parts_with(name, part, key) -> Iterator[tuple[str, dict]]:
    """Yield the parts of a model with a setting of this name, by their keys in the config."""
    if isinstance(part, dict) and name in part:
        yield key, part
    for inner, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, (dict, list, tuple)) and inner not in NOT_OF_THE_DATA_SET:
            yield from _parts_with(name, value, f'{key}.{inner}')
