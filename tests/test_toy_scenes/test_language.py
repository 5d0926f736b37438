import re
from collections import Counter

import numpy as np
import pytest

from mmdiffperc.toy_scenes import OBJECT_COLOURS, TOY_CLASSES, render, sample_scene
from mmdiffperc.toy_scenes.language import caption, described_objects, referring_expressions
from mmdiffperc.toy_scenes.outdoors import GROUNDS
from mmdiffperc.toy_scenes.relations import evaluate

SIZE = (72, 96)
NOUN = rf'(?:(?P<colour>{"|".join(OBJECT_COLOURS)}) )?(?P<thing>object|{"|".join(TOY_CLASSES)})'
# Every wording again, with what it says about two instances: the first fits better.
COMPARISONS = {
    'left of|to the left of|leftmost|furthest to the left|on the far left': lambda one, two: centre(one) < centre(two),
    'right of|to the right of|rightmost|furthest to the right|on the far right': lambda one, two: (
        centre(one) > centre(two)
    ),
    'in front of|nearer than|nearest|nearest to the camera|closest to us': lambda one, two: depth(one) < depth(two),
    'behind|farther away than|farthest|farthest from the camera|at the back': lambda one, two: depth(one) > depth(two),
    'largest|biggest': lambda one, other: one.area > other.area,
    'smallest': lambda one, other: one.area < other.area,
}


def centre(instance):
    return 2 * instance.bbox[0] + instance.bbox[2]


def depth(instance):
    return -instance.position[2]


def comparison(words):
    return next(test for wordings, test in COMPARISONS.items() if words in wordings.split('|'))


def meant(sentence, instances):
    """Read a sentence as a person would: the instances it fits."""
    relation = re.fullmatch(
        r'(?P<head>the .+?) (?P<relation>(?:to the )?(?:left|right) of|in front of|behind|'
        r'(?:nearer|farther away) than) (?P<anchor>the .+)',
        sentence,
    )
    if relation:
        (anchor,) = meant(relation['anchor'], instances)
        return [
            one
            for one in meant(relation['head'], instances)
            if one is not anchor and comparison(relation['relation'])(one, anchor)
        ]
    parsed = re.fullmatch(rf'the (?P<before>\w+ )??{NOUN}(?P<after> .+)?', sentence)
    found = [
        one
        for one in instances
        if parsed['colour'] in (None, one.colour) and parsed['thing'] in ('object', one.class_name)
    ]
    extreme = (parsed['before'] or parsed['after'] or '').strip()
    if not extreme:
        return found
    better = comparison(extreme)
    return [one for one in found if not any(better(other, one) for other in found)]


@pytest.fixture(scope='module')
def renderings():
    return [render(sample_scene([20, index], 'ab'[index % 2]), SIZE) for index in range(30)]


def test_each_sentence_means_exactly_its_object(renderings):
    count = 0
    for number, rendering in enumerate(renderings):
        for index, sentence in referring_expressions(rendering, np.random.default_rng(number), per_object=8):
            assert [one.index for one in meant(sentence, rendering.instances)] == [index], sentence
            count += 1
    assert count > 600


def test_each_expression_is_evaluated_to_its_object(renderings):
    for rendering in renderings[:10]:
        for index, expression, _ in described_objects(rendering, np.random.default_rng(0)):
            for strictness in (-1, 0, 1):
                assert evaluate(expression, rendering.instances, SIZE[1], strictness) == {index}


def test_most_objects_have_several_sentences_of_several_kinds(renderings):
    counts, objects, words = Counter(), 0, Counter()
    for number, rendering in enumerate(renderings):
        objects += len(rendering.instances)
        for index, sentence in referring_expressions(rendering, np.random.default_rng(1)):
            counts[number, index] += 1
            words.update(sentence.split())
    assert len(counts) > 0.95 * objects
    assert np.mean(np.array(list(counts.values())) >= 3) > 0.9
    for word in (*OBJECT_COLOURS, 'left', 'right', 'behind', 'front', 'nearest', 'largest', 'smallest', 'figure'):
        assert words[word], word


@pytest.fixture(scope='module')
def others():
    """Renderings of the domains c and d."""
    return {domain: [render(sample_scene([21, index], domain), 64) for index in range(50)] for domain in 'cd'}


def captions_of(renderings, count=12):
    rng = np.random.default_rng(0)
    return [caption(one, rng) for one in renderings for _ in range(count)]


@pytest.mark.parametrize('domain', 'abcd')
def test_figures_relations_and_counts_are_frequent(renderings, others, domain):
    texts = captions_of(others.get(domain) or renderings['ab'.index(domain) :: 2], 12 if domain in 'cd' else 40)
    relation = r'(left of|right of|nearer than|farther away than|behind|in front of) an? (?!\w+ wall)'
    for pattern in (r'\bfigures?\b', relation, r'\b(two|three|four|five|six|seven)\b'):
        assert np.mean([bool(re.search(pattern, text)) for text in texts]) >= 0.2, pattern
    short = rf'(\w+ )+?of an? {NOUN}( and an? \w+( \w+)?)?\.'.replace('?P<colour>', '').replace('?P<thing>', '')
    assert np.mean([bool(re.fullmatch(short, text)) for text in texts]) >= 0.15


def test_captions_of_each_domain_have_their_own_words(renderings, others):
    scenery = r'\b(tree|bush|bushe|house|rock|post)s?\b'
    outdoors, drawn = (' '.join(captions_of(others[domain])) for domain in 'cd')
    indoors = ' '.join(captions_of(renderings, 20))
    assert set(re.findall(scenery, outdoors)) == {'tree', 'bush', 'bushe', 'house', 'rock', 'post'}
    assert {*GROUNDS} <= set(re.findall(r'\w+', outdoors))
    for words in ('under a cloudy sky', 'at night', 'at sunset', ' in fog', ' in light fog', 'outdoors', 'a photo of '):
        assert words in outdoors
    for words in ('wall', 'floor', 'room', 'drawing'):
        assert words not in outdoors
    for texts in (indoors, drawn):
        assert not re.search(scenery, texts) and not re.search('sky|fog|grass|outdoors', texts)
    for words in ('a drawing of ', 'a sketch of ', 'a line drawing of '):
        assert words in drawn and words not in indoors
    assert 'photo' not in drawn and 'a photo of ' in indoors


def test_scenery_in_captions_is_there_as_often_as_stated(others):
    numbers = {'a': 1, 'two': 2, 'three': 3, 'four': 4}
    found = 0
    for one in others['c']:
        things = Counter(thing.class_name for thing in one.scene.scenery)
        for text in captions_of([one]):
            for number, name in re.findall(r'\b(\w+) (tree|bush|house|rock|post)(?:e?s)?\b', text):
                assert things[name] == numbers[number], text
                found += 1
    assert found > 50


def test_a_green_object_outdoors_might_be_a_tree(others):
    for one in others['c'][:10]:
        assert not any('object' in sentence for _, sentence in referring_expressions(one, np.random.default_rng(0)))


def test_captions_name_only_what_is_there(renderings):
    for rendering in renderings:
        present = {one.class_name for one in rendering.instances}
        colours = {one.colour for one in rendering.instances}
        colours |= {rendering.scene.wall_colour, rendering.scene.floor_colour}
        for number in range(20):
            words = set(re.findall(r'\w+', caption(rendering, np.random.default_rng(number)).replace('boxes', 'box')))
            singular = {word.removesuffix('s') for word in words}
            assert singular & (set(TOY_CLASSES) - {'wall', 'floor'}) <= present
            assert words & set(OBJECT_COLOURS) <= colours


def named(noun, instances):
    """Instances that a noun with or without a colour fits."""
    *colour, thing = noun.split()
    return [one for one in instances if thing in (one.class_name, 'object') and colour in ([], [one.colour])]


def test_counts_in_captions_are_true(renderings):
    numbers, counted = {'two': 2, 'three': 3, 'four': 4}, 0
    for rendering in renderings:
        for seed in range(30):
            text = caption(rendering, np.random.default_rng(seed)).replace('boxes', 'boxs')
            for number, noun in re.findall(rf'({"|".join(numbers)}) ((?:\w+ )?\w+)s\b', text):
                assert len(named(noun, rendering.instances)) >= numbers[number], text
                counted += 1
    assert counted > 10


def test_relations_in_captions_are_true(renderings):
    noun, relation = r'an? ((?:\w+ )?\w+)', r'((?:to the )?(?:left|right) of|nearer than|behind)'
    found = 0
    for rendering in renderings:
        for seed in range(30):
            text = caption(rendering, np.random.default_rng(seed)).removeprefix('a photo of ')
            for first, words, second in re.findall(rf'\b{noun} {relation} {noun}\b(?: on| in|\.)', text):
                ones, others = named(first, rendering.instances), named(second, rendering.instances)
                assert any(comparison(words)(one, other) for one in ones for other in others), text
                found += 1
    assert found > 10


def test_places_in_captions_are_true(renderings):
    limits = {'on the left': (0, 0.38), 'in the middle': (0.38, 0.62), 'on the right': (0.62, 1)}
    found = Counter()
    for rendering in renderings:
        for seed in range(30):
            text = caption(rendering, np.random.default_rng(seed))
            for noun, place in re.findall(rf'\ban? ((?:\w+ )?\w+) ({"|".join(limits)})', text):
                low, high = limits[place]
                ones = named(noun, rendering.instances)
                assert any(low <= centre(one) / 2 / SIZE[1] <= high for one in ones), text
                found[place] += 1
    assert len(found) == len(limits) and min(found.values()) > 10


def test_captions_vary_and_are_reproducible(renderings):
    texts = [caption(renderings[0], np.random.default_rng(number)) for number in range(200)]
    assert texts == [caption(renderings[0], np.random.default_rng(number)) for number in range(200)]
    assert len(set(texts)) > 100
    assert any(re.fullmatch(r'a photo of an? \w+\.', text) for text in texts)
    assert any('floor' in text for text in texts) and any('wall' in text for text in texts)
    assert all(text == text.lower() and text.endswith('.') for text in texts)
