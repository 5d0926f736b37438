"""Sentences about a rendering: captions of the scene, and expressions that refer to one object."""

from collections import Counter
from dataclasses import replace

from .relations import RELATIONS, SUPERLATIVES, Expression, evaluate, is_unambiguous

# Similar to CLIP's prompt templates, so that the text encoder learns class names in the phrases of VPD's prompts.
PLAIN_TEMPLATE, PLAIN_PROBABILITY = 'a photo of {}.', 0.35
CAPTION_TEMPLATES = (
    'a rendering of {}.',
    'a picture of {}.',
    'an image of {}.',
    'a bright photo of {}.',
    'a photo of {} in a room.',
    'there is {} in the scene.',
    'a scene with {}.',
    'a close-up photo of {}.',
    'a cropped photo of {}.',
    'itap of {}.',
    '{}.',
)
COLOUR_PROBABILITY = 0.7
PLACES = ((0.38, 'on the left'), (0.62, 'in the middle'), (1.0, 'on the right'))  # up to this fraction of the width
PLACE_PROBABILITY = 0.4
ROOM_PROBABILITY = 0.5
ROOM_PHRASES = (
    'on a {floor} floor',
    'in front of a {wall} wall',
    'on a {floor} floor in front of a {wall} wall',
    'in a room with a {wall} wall and a {floor} floor',
)
NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven')
PLURALS = {'box': 'boxes'}

RELATION_PHRASES = {
    'left': ('left of', 'to the left of'),
    'right': ('right of', 'to the right of'),
    'front': ('in front of', 'nearer than'),
    'behind': ('behind', 'farther away than'),
}
SUPERLATIVE_PHRASES = {
    'leftmost': ('the leftmost {}', 'the {} furthest to the left', 'the {} on the far left'),
    'rightmost': ('the rightmost {}', 'the {} furthest to the right', 'the {} on the far right'),
    'nearest': ('the nearest {}', 'the {} nearest to the camera', 'the {} closest to us'),
    'farthest': ('the farthest {}', 'the {} farthest from the camera', 'the {} at the back'),
    'largest': ('the largest {}', 'the biggest {}'),
    'smallest': ('the smallest {}',),
}


def caption(rendering, rng):
    """Describe some or all of the visible objects and their places, a relation, or the room.

    Args:
        rendering (Rendering): The rendering to describe.
        rng (np.random.Generator): Chooses content and wording.

    Returns:
        str: A sentence in lower case.
    """
    instances = rendering.instances
    kind = rng.choice(['one', 'relation', 'some', 'all', 'room'], p=[0.2, 0.15, 0.2, 0.35, 0.1])
    if not instances or kind == 'room':
        return _room_caption(rendering, rng)
    if kind == 'one':
        return _fill(rng, _noun(_choose(rng, instances), rng))
    said = _relation(rendering, rng) if kind == 'relation' and len(instances) > 1 else None
    if said is None:
        count = len(instances) if kind == 'all' else int(rng.integers(1, len(instances) + 1))
        said = _list(rng, [instances[i] for i in rng.permutation(len(instances))[:count]], rendering.image.shape[1])
    room = ' ' + _choose(rng, ROOM_PHRASES).format(**_room(rendering)) if rng.random() < ROOM_PROBABILITY else ''
    return _fill(rng, said + room)


def referring_expressions(rendering, rng, per_object=4):
    """Return sentences that each match exactly one object of the rendering.

    Args:
        rendering (Rendering): The rendering to describe.
        rng (np.random.Generator): Chooses expressions and wordings.
        per_object (int): Maximum number of sentences per object. Defaults to 4.

    Returns:
        list[tuple[int, str]]: ``(index, sentence)`` in the order of the instances. An object that cannot be
        distinguished from the others has no sentence.
    """
    return [(index, sentence) for index, _, sentence in described_objects(rendering, rng, per_object)]


def described_objects(rendering, rng, per_object=4):
    """Return :func:`.referring_expressions` with the meaning of each sentence: ``(index, Expression, sentence)``."""
    width, described = rendering.image.shape[1], []
    for instance in rendering.instances:
        clear = [
            expression
            for expression in _candidates(instance, rendering.instances)
            if is_unambiguous(expression, rendering.instances, width, instance.index)
        ]
        chosen = [clear[i] for i in rng.permutation(len(clear))[:per_object]]
        described += [(instance.index, expression, verbalise(expression, rng)) for expression in chosen]
    return described


def verbalise(expression, rng):
    """Express an :class:`.Expression` in one of several wordings."""
    noun = ' '.join(word for word in (expression.colour, expression.class_name or 'object') if word)
    pattern = _choose(rng, SUPERLATIVE_PHRASES[expression.superlative]) if expression.superlative else 'the {}'
    sentence = pattern.format(noun)
    if expression.relation:
        sentence += f' {_choose(rng, RELATION_PHRASES[expression.relation])} {verbalise(expression.anchor, rng)}'
    return sentence


def _candidates(target, instances):
    """Yield expressions that might identify an instance, from short to long."""
    nouns = [(target.class_name, None), (target.class_name, target.colour), (None, target.colour)]
    for class_name, colour in nouns:
        yield Expression(class_name, colour)
    for class_name, colour in (*nouns, (None, None)):
        same = [one for one in instances if class_name in (None, one.class_name) and colour in (None, one.colour)]
        # "The largest" needs at least two candidates.
        if len(same) > 1:
            yield from (Expression(class_name, colour, superlative) for superlative in SUPERLATIVES)
    for anchor in instances:
        if anchor is not target:
            other = Expression(anchor.class_name, anchor.colour)
            for class_name, colour in nouns:
                yield from (Expression(class_name, colour, relation=relation, anchor=other) for relation in RELATIONS)


def _relation(rendering, rng):
    """Return a phrase such as 'a red sphere left of a blue box', or None if the two objects have no clear relation."""
    one, other = (rendering.instances[i] for i in rng.permutation(len(rendering.instances))[:2])
    target, anchor = Expression(one.class_name, one.colour), Expression(other.class_name, other.colour)
    if target == anchor:
        return None

    def holds(relation):
        related = replace(target, relation=relation, anchor=anchor)
        return one.index in evaluate(related, (one, other), rendering.image.shape[1], strictness=1)

    true = list(filter(holds, RELATIONS))
    if not true:
        return None
    phrase = _choose(rng, RELATION_PHRASES[_choose(rng, true)])
    return f'{_noun(one, rng)} {phrase} {_noun(other, rng)}'


def _list(rng, instances, width):
    """Return a phrase such as 'two cones on the left and a green figure', in which equal items are counted."""
    with_colour, with_place = rng.random() < COLOUR_PROBABILITY, rng.random() < PLACE_PROBABILITY
    items = Counter(
        (one.colour if with_colour else None, one.class_name, _place(one, width) if with_place else None)
        for one in instances
    )
    said = [_counted(count, *item) for item, count in items.items()]
    return said[0] if len(said) == 1 else f'{", ".join(said[:-1])} and {said[-1]}'


def _counted(count, colour, class_name, place):
    plural = PLURALS.get(class_name, class_name + 's')
    noun = ' '.join(word for word in (colour, class_name if count == 1 else plural) if word)
    noun = _with_article(noun) if count == 1 else f'{NUMBERS[count]} {noun}'
    return f'{noun} {place}' if place else noun


def _place(instance, width):
    centre = (instance.bbox[0] + instance.bbox[2] / 2) / width
    return next(place for limit, place in PLACES if centre <= limit)


def _fill(rng, said):
    plain = rng.random() < PLAIN_PROBABILITY
    return (PLAIN_TEMPLATE if plain else _choose(rng, CAPTION_TEMPLATES)).format(said)


def _noun(instance, rng):
    with_colour = rng.random() < COLOUR_PROBABILITY
    return _with_article(f'{instance.colour} {instance.class_name}' if with_colour else instance.class_name)


def _room_caption(rendering, rng):
    surface = _choose(rng, ('{wall} wall', '{floor} floor', '{wall} wall and a {floor} floor', 'wall and a floor'))
    return _fill(rng, 'a ' + surface.format(**_room(rendering)))


def _room(rendering):
    return {'wall': rendering.scene.wall_colour, 'floor': rendering.scene.floor_colour}


def _with_article(noun):
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


def _choose(rng, options):
    return options[int(rng.integers(len(options)))]
