"""The cases of all areas, and the count of their answers."""

from collections import Counter
from collections.abc import Iterable

from . import arguments
from .case import Answer, Case

AREAS = (arguments,)
GOOD = ('clear', 'warned')
LARGEST_SHARE = 0.02  # of obscure, and of silent, answers


def all_cases() -> list[Case]:
    """The bad inputs of all areas."""
    return [case for area in AREAS for case in area.cases()]


def summary(answers: Iterable[tuple[Case, Answer]]) -> str:
    """What came out: the counts, and every answer that is not clear."""
    answers = list(answers)
    counts = Counter(answer.kind for _, answer in answers)
    lines = [f'{len(answers)} bad inputs: {dict(counts)}']
    for kind in ('crash', 'hang', 'silent', 'obscure'):
        lines += [f'{kind}  {case}  {answer.words:.160}' for case, answer in answers if answer.kind == kind]
    return '\n'.join(lines)
