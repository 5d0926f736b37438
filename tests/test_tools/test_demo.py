import runpy
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / 'tools' / 'demo.py'


def test_help_explains_and_starts_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--help'])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(DEMO), run_name='__main__')
    assert stopped.value.code == 0
    assert 'test it, draw what it learnt' in capsys.readouterr().out
