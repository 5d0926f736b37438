import pytest

import demo


def test_help_explains_and_starts_nothing(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(['--help'])
    assert stopped.value.code == 0
    assert 'work_dirs/demo' in capsys.readouterr().out
