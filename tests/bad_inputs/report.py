"""The cases of all areas, and what came out of them."""

from collections import Counter
from collections.abc import Iterable
from types import ModuleType

from mmengine.utils import import_modules_from_strings

from . import arguments, checkpoints, command_line, data, images, settings, tensors, whole_models
from .case import Answer, Case
from .meant import ANSWERED_BY_HOSTS

AREAS = (arguments, settings, tensors, whole_models, images, checkpoints, data, command_line)
GOOD = ('clear', 'warned')
import_modules_from_strings(['mmdiffperc.pose', 'mmdiffperc.seg'])  # whose classes are registered so

MAX_SHOWN = 100
LARGEST_SHARE = 0.02  # of obscure, and of silent, answers
STRICT = (arguments, command_line)  # what the package itself parses, of which all is clear


def cases_of(area: ModuleType) -> list[Case]:
    """The bad inputs of an area, but for those that a host answers."""
    return [case for case in area.cases() if str(case) not in ANSWERED_BY_HOSTS]


def all_cases() -> list[Case]:
    """The bad inputs of all areas."""
    return [case for area in AREAS for case in cases_of(area)]


def most_unclear(area: ModuleType, number: int) -> float:
    """The largest number of obscure answers, and of silent ones, to so many bad inputs."""
    return 0 if area in STRICT else LARGEST_SHARE * number


def summary(answers: Iterable[tuple[Case, Answer]]) -> str:
    """The counts, and the answers that are not clear."""
    answers = list(answers)
    unclear = [(case, answer) for case, answer in answers if answer.kind not in GOOD]
    lines = [f'{len(answers)} bad inputs: {dict(Counter(answer.kind for _, answer in answers))}']
    lines += [f'{answer.kind}  {case}  {answer.words:.160}' for case, answer in unclear[:MAX_SHOWN]]
    return '\n'.join(lines)
