import pytest

from mmdiffperc.doctor.imports import Outcome, import_all
from mmdiffperc.doctor.packages import Package

MODULES = dict(
    works='print("noise")',
    raises='raise RuntimeError("no\\n  luck")',
    needs_more='import gone.missing',
    leaves='raise SystemExit(3)',
    killed='import os, signal; os.kill(os.getpid(), signal.SIGKILL)',
    registers='import sys, types; sys.modules["absent"] = types.ModuleType("absent"); import gone',
    stands_in='import sys, types; sys.modules["absent"] = types.ModuleType("absent")',
    waits='import threading; threading.Event().wait()',
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with some modules."""
    for name, code in MODULES.items():
        (tmp_path / f'{name}.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcomes_of(*modules, **options):
    return import_all([Package(module, '', '') for module in modules], **options).outcomes


def test_outcomes(folder):
    found = outcomes_of('works', 'raises', 'needs_more', 'absent', 'leaves')
    assert found == dict(
        works=Outcome(origin=str(folder / 'works.py')),
        raises=Outcome('RuntimeError: no luck'),
        needs_more=Outcome("ModuleNotFoundError: No module named 'gone'", lacks='gone'),
        absent=Outcome("ModuleNotFoundError: No module named 'absent'", lacks='absent'),
        leaves=Outcome('SystemExit: 3'),
    )


def test_a_crash_costs_its_package_alone(folder):
    found = outcomes_of('raises', 'killed', 'works')
    assert list(found) == ['raises', 'killed', 'works']
    assert 'SIGKILL' in found['killed'].error and not found['works'].error


def test_an_import_that_does_not_end(folder):
    assert '0.5 seconds' in outcomes_of('waits', patience=0.5)['waits'].error


@pytest.mark.parametrize(
    ('package', 'modules', 'outcome'),
    [
        ('absent', ('raises', 'absent.part'), Outcome('RuntimeError: no luck', lacks='absent')),
        ('works', ('raises', 'works'), Outcome('RuntimeError: no luck')),
        ('absent', ('registers', 'absent'), Outcome("ModuleNotFoundError: No module named 'gone'", lacks='absent')),
        ('absent', ('stands_in', 'absent'), Outcome()),
    ],
)
def test_a_package_that_is_not_installed_is_missing_whatever_fails(folder, package, modules, outcome):
    assert import_all([Package(package, '', '', modules)]).outcomes == {package: outcome}
