"""The neck and heads in a model's config: the features that they read, and their numbers of channels and classes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mmdiffperc.files import brief

from .features import Feature

NO_HEADS = ('backbone', 'neck', 'data_preprocessor', 'train_cfg', 'test_cfg')
FIRST_FEATURE = 'c1_in_channels'  # DeepLabV3+ reads the first feature in addition to the one it selects
COMMON_WIDTH = 'embed_dim'  # the name in Feature2Pyramid for the channels of all its features
NOT_OF_THE_DATA_SET = (*NO_HEADS, 'rpn_head')  # region proposals only tell objects from background
DEPENDENT = ('num_classes', 'num_things_classes', 'num_stuff_classes', 'class_weight')


def set_neck_channels(neck: dict, features: Sequence[Feature]):
    """Set the ``in_channels`` of a neck: one number per feature, or the number of the last one.

    Args:
        neck (dict): Its config, changed in place.
        features (Sequence[Feature]): Its input.

    Raises:
        ValueError: The neck takes another number of features, or features of equal width, and these differ.
    """
    channels = [feature.channels for feature in features]
    if isinstance(neck.get('in_channels'), (list, tuple)):
        _check_number(neck, len(features))
        neck['in_channels'] = type(neck['in_channels'])(channels)
    elif 'in_channels' in neck:
        neck['in_channels'] = channels[-1]
    elif COMMON_WIDTH in neck:
        if len(set(channels)) > 1:
            raise ValueError(f'{neck["type"]} expects features of equal width, but these have {channels} channels')
        neck[COMMON_WIDTH] = channels[0]


def set_head_channels(model: dict, features: Sequence[Feature]):
    """Set the ``in_channels`` of all heads.

    The ``in_index`` of a head says which features it reads. A head without it has one number per feature, or the number
    of the last one.

    Args:
        model (dict): Config of the model, changed in place.
        features (Sequence[Feature]): The input of the heads.

    Raises:
        ValueError: A head reads a feature that does not exist.
    """
    for head in heads_of(model):
        for reader in _readers(head):
            _set_reader(reader, features)


def read_by_heads(model: dict, number: int) -> set[int]:
    """Return the indices of the features that heads read; all indices unless every head has an ``in_index``.

    Raises:
        ValueError: A head reads a feature that does not exist.
    """
    read = set()
    for head in heads_of(model):
        readers = list(_readers(head))
        if not readers or any('in_index' not in reader for reader in readers):
            return set(range(number))
        for reader in readers:
            read |= {index % number for index in _indices(reader, number)}
            read |= {0} if reader.get(FIRST_FEATURE) else set()
    return read


def _set_reader(reader, features):
    given = reader['in_channels']
    channels = [features[index].channels for index in _indices(reader, len(features))]
    reader['in_channels'] = type(given)(channels) if isinstance(given, (list, tuple)) else channels[-1]
    if reader.get(FIRST_FEATURE):
        reader[FIRST_FEATURE] = features[0].channels
    if reader.get('num_convs') == 0:  # nothing in between that could change the number
        reader['channels'] = reader['in_channels']


def heads_of(model: dict) -> Iterator[dict]:
    """Yield the configs of the parts of a model that follow the backbone and neck."""
    for name, part in model.items():
        for head in part if isinstance(part, (list, tuple)) else [part]:
            if name not in NO_HEADS and isinstance(head, dict) and 'type' in head:
                yield head


def _readers(part, key='in_channels') -> Iterator[dict]:
    """Yield the head if it has ``in_channels``, and parts of it that have an ``in_index``."""
    if key in part and 'in_channels' in part:
        yield part
    for inner in part.values():
        for each in inner if isinstance(inner, (list, tuple)) else [inner]:
            if isinstance(each, dict):
                yield from _readers(each, 'in_index')


def _indices(reader, number) -> Sequence[int]:
    """Return which of the features it reads."""
    is_list = isinstance(reader['in_channels'], (list, tuple))
    if is_list and 'in_index' not in reader:
        _check_number(reader, number)
    in_index = reader.get('in_index', range(number) if is_list else -1)
    indices = [in_index] if isinstance(in_index, int) else in_index
    if any(index not in range(-number, number) for index in indices):
        raise ValueError(f'{reader["type"]} has in_index={in_index}, but gets only {number} features')
    return indices


def _check_number(part, number):
    if len(part['in_channels']) != number:
        raise ValueError(
            f'{part["type"]} has in_channels={list(part["in_channels"])}, so it expects {len(part["in_channels"])} '
            f'features, but gets {number}'
        )


def set_num_classes(model: dict, number: int) -> tuple[list[str], list[str]]:
    """Set ``num_classes`` in all heads that predict the classes of the data set.

    These are the heads with the most frequent number. Others keep theirs, such as the boundary head of STDC.

    Args:
        model (dict): Config of the model, changed in place.
        number (int): Number of classes.

    Returns:
        tuple[list[str], list[str]]: The keys that were changed, and ``key=value`` of unchanged settings that depend on
        the classes. Both are empty if the number stays the same.
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
