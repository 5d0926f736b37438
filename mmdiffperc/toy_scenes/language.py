"""Sentences about a rendering: captions of the scene, and expressions that refer to one object."""

from collections import Counter
from dataclasses import replace
from itertools import permutations

from .relations import RELATIONS, SUPERLATIVES, Expression, evaluate, is_unambiguous

# How often a caption says what. Short captions of one or two objects are the most frequent ones.
SHORT, RELATION, COUNT, LIST, BACKGROUND = 'short', 'relation', 'count', 'list', 'background'
KINDS = {SHORT: 0.34, RELATION: 0.25, COUNT: 0.24, LIST: 0.11, BACKGROUND: 0.06}
# Similar to CLIP's prompt templates, so that the text encoder learns class names in the phrases of VPD's prompts.
# The first of each is used this often.
FIRST_TEMPLATE_PROBABILITY = 0.35
PHOTO_TEMPLATES = (
    'a photo of {}.',
    'a rendering of {}.',
    'a picture of {}.',
    'an image of {}.',
    'you can see {} in the scene.',
    'a scene with {}.',
    'a close-up photo of {}.',
    'a cropped photo of {}.',
    'itap of {}.',
    '{}.',
)
INDOOR_TEMPLATES = (*PHOTO_TEMPLATES, 'a bright photo of {}.')
OUTDOOR_TEMPLATES = (*PHOTO_TEMPLATES, 'an outdoor photo of {}.')
DRAWING_TEMPLATES = (
    'a drawing of {}.',
    'a sketch of {}.',
    'a line drawing of {}.',
    'a pen drawing of {}.',
    'a rough sketch of {}.',
    'you can see {} in the drawing.',
    'a sketch with {}.',
)
COLOUR_PROBABILITY = 0.7
PLACES = ((0.38, 'on the left'), (0.62, 'in the middle'), (1.0, 'on the right'))  # up to this fraction of the width
PLACE_PROBABILITY = 0.4
ALL_PROBABILITY = 0.5  # that a list names all objects
# A figure, if there is one, is named first this often.
FIGURE_PROBABILITY = 0.55
SCENERY_PROBABILITY = 0.4
COMPANY_PROBABILITY = 0.6  # of one more object beside those that are counted
BACKGROUND_PROBABILITIES = {SHORT: 0.15, RELATION: 0.4, COUNT: 0.4, LIST: 0.5, BACKGROUND: 0.0}
ROOM_PHRASES = (
    'in a room',
    'on a {floor} floor',
    'in front of a {wall} wall',
    'on a {floor} floor in front of a {wall} wall',
    'in a room with a {wall} wall and a {floor} floor',
)
ROOM_NOUNS = ('a {wall} wall', 'a {floor} floor', 'a {wall} wall and a {floor} floor', 'a wall and a floor')
OUTDOOR_PHRASES = ('outdoors', 'on the {ground}', '{sky}', 'on the {ground} {sky}')
SKY_PHRASES = {
    'blue': ('under a blue sky', 'under a clear sky'),
    'cloudy': ('under a cloudy sky', 'under white clouds'),
    'grey': ('under a grey sky', 'under an overcast sky'),
    'orange': ('under an orange sky', 'at sunset'),
    'dark': ('under a dark sky', 'at night'),
}
FOG_PROBABILITY, DENSE_FOG = 0.7, 0.04  # the extinction, per metre, from which fog is dense
NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven')
PLURALS = {'box': 'boxes', 'bush': 'bushes'}

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
    """Describe some or all of the visible objects, their number, places or relation, and the background.

    Args:
        rendering (Rendering): The rendering to describe.
        rng (np.random.Generator): Chooses content and wording.

    Returns:
        str: A sentence in lower case.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values()))) if rendering.instances else BACKGROUND
    said = _CONTENTS[kind](rendering, rng)
    if said is None:  # no two objects have a clear relation, or there is nothing to count
        kind, said = SHORT, _short(rendering, rng)
    if rng.random() < BACKGROUND_PROBABILITIES[kind]:
        said = _with_background(rendering.scene, said, rng)
    templates = _templates(rendering.scene)
    first = rng.random() < FIRST_TEMPLATE_PROBABILITY
    return (templates[0] if first else _choose(rng, templates[1:])).format(said)


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
            for expression in _candidates(instance, rendering.instances, rendering.scene.sky is not None)
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


def _candidates(target, instances, outdoors):
    """Yield expressions that might identify an instance, from short to long."""
    nouns = [(target.class_name, None), (target.class_name, target.colour)]
    if not outdoors:  # there, "the green object" might be a tree
        nouns.append((None, target.colour))
    for class_name, colour in nouns:
        yield Expression(class_name, colour)
    for class_name, colour in nouns if outdoors else (*nouns, (None, None)):
        same = [one for one in instances if class_name in (None, one.class_name) and colour in (None, one.colour)]
        # "The largest" needs at least two candidates.
        if len(same) > 1:
            yield from (Expression(class_name, colour, superlative) for superlative in SUPERLATIVES)
    for anchor in instances:
        if anchor is not target:
            other = Expression(anchor.class_name, anchor.colour)
            for class_name, colour in nouns:
                yield from (Expression(class_name, colour, relation=relation, anchor=other) for relation in RELATIONS)


def _templates(scene):
    if scene.pen:
        return DRAWING_TEMPLATES
    return OUTDOOR_TEMPLATES if scene.sky else INDOOR_TEMPLATES


def _short(rendering, rng):
    """Return a phrase such as 'a red sphere and a blue box'."""
    some = _ordered(rendering.instances, rng)[: rng.integers(1, 3)]
    return _joined([_noun(one, rng) for one in some] + _scenery(rendering.scene, rng))


def _relation(rendering, rng):
    """Return a phrase such as 'a red sphere left of a blue box', or None if no two objects have a clear relation."""
    width = rendering.image.shape[1]
    for one, other in permutations(_ordered(rendering.instances, rng), 2):
        if rng.random() < 0.5:
            one, other = other, one
        target, anchor = Expression(one.class_name, one.colour), Expression(other.class_name, other.colour)
        true = [
            relation
            for relation in RELATIONS
            if target != anchor
            and evaluate(replace(target, relation=relation, anchor=anchor), (one, other), width, strictness=1)
        ]
        if true:
            return f'{_noun(one, rng)} {_choose(rng, RELATION_PHRASES[_choose(rng, true)])} {_noun(other, rng)}'
    return None


def _count(rendering, rng):
    """Return a phrase such as 'three cones and a figure', which counts all cones, or None if nothing is repeated."""
    instances, scenery = rendering.instances, rendering.scene.scenery
    groups = Counter((colour, one.class_name) for one in instances for colour in (None, one.colour))
    groups += Counter((None, thing.class_name) for thing in scenery)
    if max(groups.values()) == 1 and not scenery:  # a tree is an object, too
        groups = Counter({(None, 'object'): len(instances)})
    repeated = [group for group, count in groups.items() if count > 1]
    if not repeated:
        return None
    colour, name = _choose(rng, repeated)
    said = [_counted(groups[colour, name], colour, name)]
    others = [one for one in instances if name not in ('object', one.class_name)]
    if others and rng.random() < COMPANY_PROBABILITY:
        said.append(_noun(_ordered(others, rng)[0], rng))
    return _joined(said)


def _list(rendering, rng):
    """Return a phrase such as 'two cones on the left and a green figure', in which equal items are counted."""
    instances, width = rendering.instances, rendering.image.shape[1]
    count = len(instances) if rng.random() < ALL_PROBABILITY else int(rng.integers(1, len(instances) + 1))
    with_colour, with_place = rng.random() < COLOUR_PROBABILITY, rng.random() < PLACE_PROBABILITY
    items = Counter(
        (one.colour if with_colour else None, one.class_name, _place(one, width) if with_place else None)
        for one in _ordered(instances, rng)[:count]
    )
    return _joined([_counted(count, *item) for item, count in items.items()] + _scenery(rendering.scene, rng))


def _background(rendering, rng):
    """Return a phrase such as 'a white wall' or 'two trees on the grass'."""
    scene = rendering.scene
    if not scene.sky:
        return _choose(rng, ROOM_NOUNS).format(wall=scene.wall_colour, floor=scene.floor_colour)
    things = _counted_scenery(scene)
    return _with_background(scene, _joined(things), rng) if things else f'{scene.ground} {_sky(scene.sky, rng)}'


_CONTENTS = {SHORT: _short, RELATION: _relation, COUNT: _count, LIST: _list, BACKGROUND: _background}


def _with_background(scene, said, rng):
    """Append where the objects are, such as 'on a grey floor' or 'on the grass under a blue sky in fog'."""
    if not scene.sky:
        return f'{said} {_choose(rng, ROOM_PHRASES).format(wall=scene.wall_colour, floor=scene.floor_colour)}'
    said = f'{said} {_choose(rng, OUTDOOR_PHRASES).format(ground=scene.ground, sky=_sky(scene.sky, rng))}'
    if scene.sky.fog and rng.random() < FOG_PROBABILITY:
        said += ' in fog' if scene.sky.fog >= DENSE_FOG else ' in light fog'
    return said


def _sky(sky, rng):
    return _choose(rng, SKY_PHRASES[sky.name])


def _scenery(scene, rng):
    """Return some of the scenery, counted, or often nothing."""
    things = _counted_scenery(scene)
    return [_choose(rng, things)] if things and rng.random() < SCENERY_PROBABILITY else []


def _counted_scenery(scene):
    """Return phrases such as 'two trees', one for each kind of scenery."""
    return [_counted(count, None, name) for name, count in Counter(one.class_name for one in scene.scenery).items()]


def _ordered(instances, rng):
    """Return instances in random order, often with the figures first."""
    shuffled = [instances[i] for i in rng.permutation(len(instances))]
    if rng.random() < FIGURE_PROBABILITY:
        shuffled.sort(key=lambda one: one.class_name != 'figure')
    return shuffled


def _joined(items):
    return items[0] if len(items) == 1 else f'{", ".join(items[:-1])} and {items[-1]}'


def _counted(count, colour, class_name, place=None):
    plural = PLURALS.get(class_name, class_name + 's')
    noun = ' '.join(word for word in (colour, class_name if count == 1 else plural) if word)
    noun = _with_article(noun) if count == 1 else f'{NUMBERS[count]} {noun}'
    return f'{noun} {place}' if place else noun


def _place(instance, width):
    centre = (instance.bbox[0] + instance.bbox[2] / 2) / width
    return next(place for limit, place in PLACES if centre <= limit)


def _noun(instance, rng):
    with_colour = rng.random() < COLOUR_PROBABILITY
    return _with_article(f'{instance.colour} {instance.class_name}' if with_colour else instance.class_name)


def _with_article(noun):
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


def _choose(rng, options):
    return options[int(rng.integers(len(options)))]
