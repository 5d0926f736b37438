import re
from pathlib import Path

import pytest
from torch import nn

import mmdiffperc
from mmdiffperc.models import TextAdapter
from mmdiffperc.models.checks import dispatcher, model_check


@pytest.fixture
def calls(monkeypatch):
    """What a check is called with."""
    monkeypatch.setattr(dispatcher, '_checks', [])
    found = []
    model_check(lambda model, name, part: found.append((model, name, part)))
    return found


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


def test_a_part_of_ours_and_all_that_follow(calls):
    ours, head, model = TextAdapter(3), nn.Linear(2, 2), nn.Module()
    calls.clear()  # of the parts that ours has itself
    model.before = nn.ReLU()
    model.neck = ours
    model.head = head
    model.add_module('nothing', None)
    assert calls == [(model, 'neck', ours), (model, 'head', head), (model, 'nothing', None)]


def test_at_any_depth(calls):
    ours, head = TextAdapter(3), nn.Linear(2, 2)
    calls.clear()
    inner = Wrapped(ours)
    outer = Wrapped(inner)
    outer.head = head
    assert calls == [(inner, 'inner', ours), (outer, 'inner', inner), (outer, 'head', head)]


def test_a_subclass_of_ours(calls):
    class Adapter(TextAdapter):
        pass

    model = Wrapped(Adapter(3))
    assert calls[-1][:2] == (model, 'inner')


def test_other_models_are_left_alone(calls):
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    model.add_module('nothing', None)
    assert calls == [] and dispatcher._OWNS_A_PART not in vars(model)


def test_the_hook_of_torch_is_installed_once():
    files = Path(mmdiffperc.__file__).parent.rglob('*.py')
    found = [file.name for file in files if re.search(r'module_registration_hook\(', file.read_text())]
    assert found == ['dispatcher.py']
