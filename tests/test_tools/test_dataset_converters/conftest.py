from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def converters(monkeypatch):
    """Their folder is where a script of it looks for modules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / 'tools' / 'dataset_converters'))
