"""Whether a claim is shown."""

import pytest
from toy_experiments.claims import NO, UNCLEAR, YES, Claim, Claims, Untested
from toy_experiments.tables import NOT_MEASURED, Value

CLAIM = Claim('a', 'b', *(Value('depth', run, 'rmse') for run in ('pre-trained', 'random')), 'm', min)


def store_pair(store, ours, other):
    for run, values in (('pre-trained', ours), ('random', other)):
        for seed, value in enumerate(values):
            store('depth', run, seed, rmse=value)


@pytest.mark.parametrize(
    ('ours', 'other', 'verdict'),
    [
        ((0.5, 0.6, 0.7), (0.6, 0.7, 0.8), YES),
        ((0.5, 0.6, 0.9), (0.6, 0.7, 0.8), UNCLEAR),  # better on average, but not with every seed
        ((0.7, 0.8, 0.9), (0.6, 0.7, 0.8), NO),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), UNCLEAR),
        ((0.5, 0.6), (0.6, 0.7, 0.8), NOT_MEASURED),
        ((), (), NOT_MEASURED),
    ],
)
def test_verdicts(store, ours, other, verdict):
    store_pair(store, ours, other)
    assert CLAIM.verdict() == verdict


def test_cells(store):
    store_pair(store, (0.5, 0.6), (0.75,) * 3)
    command = '`python tools/measure_prior.py --task depth`'
    figure = '0.550 (2 of 3 seeds) against 0.750 m'
    assert CLAIM.cells() == ('a', 'b', figure, command, NOT_MEASURED)
    table = Claims((CLAIM, Untested('x', 'y', 'z')))
    assert table.values == CLAIM.values
    lines = table.render().splitlines()
    assert len(lines) == 5 and lines[4].startswith('| x | y | z |') and 'not testable' in lines[4]


def test_a_claim_without_results(clone):
    assert CLAIM.cells()[2:] == (NOT_MEASURED, '`python tools/measure_prior.py --task depth`', NOT_MEASURED)
