import sys

import pytest

from mmdiffperc.compat.config_imports import read_config

LINES = "custom_imports = dict(imports=['named_by_a_config'])\nvalue = 3\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that nothing has imported."""
    (tmp_path / 'named_by_a_config.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    yield 'named_by_a_config'
    sys.modules.pop('named_by_a_config', None)


@pytest.mark.parametrize('first_line', ['', 'from mmdiffperc.models import DiffusionUNet\n'], ids=['classic', 'new'])
def test_both_styles_import_what_they_name(tmp_path, module, first_line):
    (tmp_path / 'config.py').write_text(first_line + LINES)
    assert module not in sys.modules
    assert read_config(tmp_path / 'config.py').value == 3
    assert module in sys.modules


def test_a_missing_module_is_named(tmp_path):
    (tmp_path / 'config.py').write_text('from mmdiffperc.models import DiffusionUNet\n' + LINES)
    with pytest.raises(ImportError, match='named_by_a_config'):
        read_config(tmp_path / 'config.py')


def test_without_imports(tmp_path):
    (tmp_path / 'config.py').write_text('value = 3\n')
    assert read_config(tmp_path / 'config.py').value == 3
