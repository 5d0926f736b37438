"""The table of places in CONTRIBUTING.md points at what is there."""

import ast
import re

import pytest
from pages import ROOT

ROWS = re.findall(r'^\| ([^|]+\?) \| `([^`]+)` \|$', (ROOT / 'CONTRIBUTING.md').read_text(), re.MULTILINE)


def names_in(body: list[ast.stmt], prefix: str = '') -> set[str]:
    """Names of the classes, functions and variables that statements define; those of methods after their class."""
    names = set()
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            names |= names_in(node.body, f'{node.name}.')
        for target in getattr(node, 'targets', []):
            names.add(prefix + ast.unparse(target))
    return names


def test_every_question_has_another_answer():
    questions, places = zip(*ROWS, strict=True)
    assert len(set(questions)) == len(set(places)) == len(ROWS) >= 30


@pytest.mark.parametrize('place', [place for _, place in ROWS])
def test_the_place_exists(place):
    path, _, name = place.partition('::')
    assert (ROOT / path).exists()
    assert not name or name in names_in(ast.parse((ROOT / path).read_text()).body)
