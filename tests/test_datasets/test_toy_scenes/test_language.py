import re
from collections import Counter

import numpy as np
import pytest

from mmdiffperc.datasets.toy_scenes import OBJECT_COLOURS, TOY_CLASSES, caption, referring_expressions, render, sample_scene
from mmdiffperc.datasets.toy_scenes.language import described_objects
from mmdiffperc.datasets.toy_scenes.relations import evaluate

SIZE = (72, 96)
NOUN = rf'(?:(?P<colour>{"|".join(OBJECT_COLOURS)}) )?(?P<thing>object|{"|".join(TOY_CLASSES)})'
# Every wording again, with what it says about two instances: the first fits better.
COMPARISONS = {
    'left of|to the left of|leftmost|furthest to the left|on the far left': lambda one, other: centre(one) < centre(other),
    'right of|to the right of|rightmost|furthest to the right|on the far right': lambda one, other: centre(one) > centre(other),
    'in front of|nearer than|nearest|nearest to the camera|closest to us': lambda one, other: depth(one) < depth(other),
    'behind|farther away than|farthest|farthest from the camera|at the back': lambda one, other: depth(one) > depth(other),
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
    relation = re.fullmatch(rf'(?P<head>the .+?) (?P<relation>(?:to the )?(?:left|right) of|in front of|behind|'
                            rf'(?:nearer|farther away) than) (?P<anchor>the .+)', sentence)
    if relation:
        anchor, = meant(relation['anchor'], instances)
        return [one for one in meant(relation['head'], instances)
                if one is not anchor and comparison(relation['relation'])(one, anchor)]
    parsed = re.fullmatch(rf'the (?P<before>\w+ )??{NOUN}(?P<after> .+)?', sentence)
    found = [one for one in instances if parsed['colour'] in (None, one.colour)
             and parsed['thing'] in ('object', one.class_name)]
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
    for word in ('left', 'right', 'behind', 'front', 'nearest', 'largest', 'smallest', 'figure', 'object', *OBJECT_COLOURS):
        assert words[word], word


def test_captions_name_only_what_is_there(renderings):
    for rendering in renderings:
        present = {one.class_name for one in rendering.instances}
        colours = {one.colour for one in rendering.instances} | {rendering.scene.wall_colour, rendering.scene.floor_colour}
        for number in range(20):
            words = set(re.findall(r'\w+', caption(rendering, np.random.default_rng(number)).replace('boxes', 'box')))
            singular = {word.removesuffix('s') for word in words}
            assert singular & (set(TOY_CLASSES) - {'wall', 'floor'}) <= present
            assert words & set(OBJECT_COLOURS) <= colours


def test_counts_and_relations_in_captions_are_true(renderings):
    numbers = {'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6, 'seven': 7}
    relations = 0
    for rendering in renderings:
        for number in range(30):
            text = caption(rendering, np.random.default_rng(number))
            for count, colour, thing in re.findall(rf'({"|".join(numbers)}) (?:(\w+) )?(\w+)s\b', text.replace('boxes', 'boxs')):
                same = [one for one in rendering.instances if one.class_name == thing and colour in ('', one.colour)]
                assert len(same) >= numbers[count], text
            found = re.search(rf'an? {NOUN} (?P<relation>(?:to the )?(?:left|right) of) an? (?P<other>.+?)\b(?: on| in|\.)', text)
            if found:
                relations += 1
                anchors, ones = ([one for one in rendering.instances if one.class_name == noun.split()[-1] and
                                  (len(noun.split()) == 1 or one.colour == noun.split()[0])]
                                 for noun in (found['other'], ' '.join(filter(None, (found['colour'], found['thing'])))))
                assert any(comparison(found['relation'])(one, anchor) for one in ones for anchor in anchors), text
    assert relations > 10


def test_captions_vary_and_are_reproducible(renderings):
    texts = [caption(renderings[0], np.random.default_rng(number)) for number in range(60)]
    assert texts == [caption(renderings[0], np.random.default_rng(number)) for number in range(60)]
    assert len(set(texts)) > 40
    assert any(re.fullmatch(r'a photo of an? \w+\.', text) for text in texts)
    assert any('floor' in text for text in texts) and any('wall' in text for text in texts)
    assert all(text == text.lower() and text.endswith('.') for text in texts)
