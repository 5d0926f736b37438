import numpy as np

from mmdiffperc.toy_scenes.relations import Expression, decisive_part, evaluate, is_unambiguous
from mmdiffperc.toy_scenes.render import Instance

WIDTH = 100


def instance(index, class_name, colour, x, depth, area=100):
    return Instance(index, class_name, colour, (x - 5, 10, 10, 10), area, np.array([0, 0, -depth]))


SCENE = (
    instance(0, 'sphere', 'red', 20, 3.0, 400),
    instance(1, 'sphere', 'blue', 50, 4.0),
    instance(2, 'box', 'red', 53, 4.1, 200),
    instance(3, 'cone', 'green', 80, 5.0, 210),
)


def fits(strictness=0.0, **description):
    return evaluate(Expression(**description), SCENE, WIDTH, strictness)


def test_class_and_colour():
    assert fits(class_name='sphere') == {0, 1}
    assert fits(colour='red') == {0, 2}
    assert fits(class_name='sphere', colour='red') == {0}
    assert fits(class_name='dome') == set()
    assert fits() == {0, 1, 2, 3}


def test_relations():
    cone = Expression('cone')
    assert fits(relation='left', anchor=cone) == {0, 1, 2}
    assert fits(relation='right', anchor=Expression('box')) == {3}
    assert fits(relation='front', anchor=Expression('sphere', 'blue')) == {0}
    assert fits(class_name='box', relation='behind', anchor=Expression('sphere', 'red')) == {2}


def test_anchor_must_be_one():
    assert fits(relation='left', anchor=Expression('sphere')) == set()
    assert fits(relation='left', anchor=Expression('dome')) == set()


def test_superlatives():
    assert fits(superlative='leftmost') == {0} and fits(superlative='rightmost') == {3}
    assert fits(superlative='nearest') == {0} and fits(superlative='farthest') == {3}
    assert fits(superlative='largest') == {0} and fits(superlative='smallest') == {1}
    assert fits(class_name='sphere', superlative='rightmost') == {1}


def test_the_part_that_singles_out_an_object():
    cone = Expression('cone')
    expected = {
        Expression('box'): 'class',
        Expression('box', 'red'): 'class',  # it is the only box
        Expression('sphere', 'red'): 'colour',
        Expression(None, 'green'): 'colour',
        Expression('sphere', superlative='rightmost'): 'superlative',
        Expression('sphere', relation='behind', anchor=Expression('sphere', 'red')): 'relation',
        Expression(None, 'red', relation='front', anchor=Expression('sphere', 'blue')): 'relation',
        Expression('box', relation='left', anchor=cone): None,
        Expression('sphere', 'red', relation='left', anchor=cone): None,
    }
    assert {one: decisive_part(one, SCENE, WIDTH) for one in expected} == expected


def test_close_calls_count_only_loosely():
    box = Expression('box')
    for strictness, found in ((-1, {1}), (0, {1}), (1, set())):
        assert fits(strictness, colour='blue', relation='left', anchor=box) == found
    assert fits(-1, colour='green', relation='left', anchor=box) == set()
    # 200 and 210 pixels look the same.
    without_first = SCENE[1:]
    largest = Expression(superlative='largest')
    assert evaluate(largest, without_first, WIDTH) == {3}
    assert evaluate(largest, without_first, WIDTH, -1) == {2, 3}
    assert evaluate(largest, without_first, WIDTH, 1) == set()


def test_unambiguous_needs_a_margin():
    assert is_unambiguous(Expression('cone', relation='right', anchor=Expression('box')), SCENE, WIDTH, 3)
    assert not is_unambiguous(Expression('sphere', 'blue', relation='left', anchor=Expression('box')), SCENE, WIDTH, 1)
    assert not is_unambiguous(Expression('sphere'), SCENE, WIDTH, 0)
    assert not is_unambiguous(Expression('cone'), SCENE, WIDTH, 0)
