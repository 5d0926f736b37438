"""The aims: nothing crashes or hangs, and at most two of a hundred bad inputs of an area get no clear answer.

Of arguments and command lines, all get one, so the tests of a class or a tool need not try its options again.
"""

import os
from collections import Counter
from types import SimpleNamespace

import pytest

from mmdiffperc.models import ClassPrompts

from . import __main__ as program
from . import arguments
from .case import Case, ask
from .meant import MEANT
from .report import AREAS, GOOD, all_cases, cases_of, most_unclear, summary


@pytest.mark.parametrize('area', AREAS, ids=lambda area: area.__name__.rpartition('.')[2])
def test_aims(area):
    answers = [(case, ask(case)) for case in cases_of(area)]
    counts = Counter(answer.kind for _, answer in answers)
    assert counts['crash'] == counts['hang'] == 0, summary(answers)
    assert max(counts['silent'], counts['obscure']) <= most_unclear(area, len(answers)), summary(answers)
    assert counts.total() == sum(counts[kind] for kind in (*GOOD, 'silent', 'obscure'))


def test_every_class_is_validated():
    own = arguments.classes()
    assert len(own) >= 50
    assert [kind.__name__ for kind in own if not hasattr(kind.__init__, '__wrapped__')] == []


def test_there_are_enough():
    titles = Counter(map(str, all_cases()))
    assert len(titles) >= 600 and max(titles.values()) == 1


@pytest.mark.parametrize(('title', 'reason', 'call'), MEANT, ids=[title for title, _, _ in MEANT])
def test_what_is_meant_is_accepted(title, reason, call):
    assert ask(Case('meant', title, call, ())).kind == 'silent', reason


def fail_like_torch():
    raise RuntimeError('expected scalar type Half but found Float')


@pytest.mark.parametrize(
    ('call', 'kind'),
    [
        (lambda: None, 'silent'),
        (fail_like_torch, 'obscure'),
        (lambda: ClassPrompts(['a'], embed_dims=3, max_length=True), 'clear'),
        (lambda: ClassPrompts(['a', 'a'], embed_dims=3), 'warned'),
    ],
)
def test_how_answers_are_judged(call, kind):
    assert ask(Case('area', 'title', call, ('max_length', 'classes'))).kind == kind


def test_an_input_that_ends_the_process_is_counted(monkeypatch):
    def end():
        os._exit(3)

    cases = [Case('area', name, call, ()) for name, call in (('a', end), ('b', fail_like_torch), ('c', end))]
    monkeypatch.setattr(program, 'AREAS', (SimpleNamespace(cases=lambda: cases),))
    assert [answer.kind for _, answer in program.answers_of(0)] == ['crash', 'obscure', 'crash']
