import pytest
from browser import open_browser


@pytest.mark.parametrize(('ci', 'outcome'), [('true', pytest.fail.Exception), ('', pytest.skip.Exception)])
def test_without_a_browser_only_continuous_integration_fails(monkeypatch, tmp_path, ci, outcome):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setenv('PLAYWRIGHT_BROWSERS_PATH', str(tmp_path))
    monkeypatch.setenv('CI', ci)
    with pytest.raises(outcome, match='Chromium'), open_browser():
        pass
