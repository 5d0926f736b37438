"""How a table is written: from all results, from some of them, and from none."""

import numpy as np
import pytest
from toy_experiments.tables import NOT_MEASURED, Difference, Picture, Table, Value

DEPTH = Table(
    ('start', 'text'),
    {
        ('a', 'b'): dict(run='pre-trained', best=min),
        ('c', ''): dict(run='random', spread=True, best=max),
        ('none', 'e'): dict(run='mean-depth', spread=True),
    },
    {'RMSE': dict(metric='rmse'), 'seed 1': dict(metric='rmse', seed=1), 'd1': dict(metric='d1')},
    dict(task='depth'),
)
RUNS = ('process-all-pre-trained', 'regression-all-pre-trained')


def test_a_table_by_hand(store_depth):
    store_depth()
    assert DEPTH.render() == (
        '\n| start | text | RMSE | seed 1 | d1 |\n'
        '|---|---|---|---|---|\n'
        '| a | b | **0.600** | 0.600 | 0.750 |\n'
        '| c |  | **1.000** (1.000 to 1.000) | 1.000 | 0.250 (0.250 to 0.250) |\n'
        '| none | e | 2.000 |  | 0.000 |\n'
    )


def test_a_table_without_results(clone):
    text = DEPTH.render()
    assert 'Not measured' in text and '`python tools/measure_prior.py --task depth`' in text and '|' not in text


def test_a_table_of_some_results(store):
    store('depth', 'pre-trained', 0, rmse=0.5, abs_rel=1, d1=0.5)
    store('depth', 'random', 1, rmse=0.25, abs_rel=1, d1=0.75)
    first, second, third = DEPTH.render().splitlines()[3:]
    assert first == f'| a | b | 0.500 (1 of 3 seeds) | {NOT_MEASURED} | 0.500 (1 of 3 seeds) |'
    assert second == '| c |  | 0.250 (1 of 3 seeds) | 0.250 | 0.750 (1 of 3 seeds) |'
    assert third == f'| none | e | {NOT_MEASURED} |  | {NOT_MEASURED} |'


def test_a_metric_that_a_run_does_not_have(store):
    store('detection', 'random', 0, **{'coco/bbox_mAP': 0.25})
    assert Value('detection', 'random', 'coco/segm_mAP', seed=0).render() == ''
    assert Value('detection', 'random', 'coco/segm_mAP', seed=1).render() == NOT_MEASURED


def test_the_gap_between_two_tests(store):
    for seed in (0, 1, 2):
        tests = {'domain-a': dict(mean=10 + seed), 'domain-c': dict(mean=15 + 2 * seed)}
        store('normals-controls', RUNS[0], seed, tests=tests, mean=0)
    gap = Value('normals-controls', RUNS[0], 'mean', 'domain-c', beyond='domain-a', spread=True)
    assert gap.by_seed() == {0: 5, 1: 6, 2: 7} and gap.render() == '6.0 (5.0 to 7.0)'


def test_a_figure_is_shown_with_all_of_its_results(store_depth):
    picture = Picture(DEPTH, '../a.png', 'Depth')
    assert picture.render() == '\n'
    store_depth()
    assert picture.render() == '\n![Depth](../a.png)\n'


@pytest.fixture
def errors(store):
    """Errors of two models for 200 images in two domains. In domain a, the first is worse by 1 degree, in domain c
    better by 2; an image of domain c has no error in one of the models.
    """
    rng = np.random.default_rng(5)
    for seed in (0, 1, 2):
        base = {test: rng.normal(20, 5, 200) for test in ('domain-a', 'domain-c')}
        changes = {'domain-a': rng.normal(1, 0.5, 200), 'domain-c': rng.normal(-2, 0.5, 200)}
        for run, factor in zip(RUNS, (1, 0), strict=True):
            images = {test: dict(mean=(base[test] + factor * changes[test]).tolist()) for test in base}
            if factor:
                images['domain-c']['mean'][7] = None
            store('normals-controls', run, seed, images=images, mean=20)


def test_differences_are_those_of_the_same_images(errors):
    here = Difference('normals-controls', *RUNS, 'mean', 'domain-c')
    assert here.differences('domain-c').shape == (3, 199)
    assert here.render() == '-2.0 (-2.1 to -1.9), p < 0.001'
    assert Difference('normals-controls', *RUNS, 'mean', 'domain-a').render() == '+1.0 (+0.9 to +1.1), p < 0.001'
    growth = Difference('normals-controls', *RUNS, 'mean', 'domain-c', beyond='domain-a')
    assert growth.render().startswith('-3.0 (-3.1 to -2.9)')
    assert Difference('normals-controls', *RUNS, 'mean', 'domain-d').render() == NOT_MEASURED


def test_the_interval_of_a_difference_knows_the_seeds(store):
    """Seeds that disagree make it wide, however many images there are."""
    for seed, change in ((0, -1.0), (1, 0.0), (2, 1.0)):
        for run, factor in zip(RUNS, (1, 0), strict=True):
            store('normals-controls', run, seed, images={'domain-c': dict(mean=[5 + factor * change] * 50)}, mean=5)
    text = Difference('normals-controls', *RUNS, 'mean', 'domain-c').render()
    low, high = (float(word) for word in text.partition('(')[2].partition(')')[0].split(' to '))
    assert text.startswith('+0.0') and low <= -0.7 and high >= 0.7
