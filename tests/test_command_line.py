import pytest

from mmdiffperc.command_line import one_line_errors


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run."""
    if arguments == ['typo']:
        raise ValueError('expected a word, got typo')
    if arguments == ['fault']:
        raise KeyError('ours')
    print(arguments)


def test_success(capsys):
    assert main(['word', '7']) == 0
    assert capsys.readouterr() == ("['word', '7']\n", '')


def test_an_expected_error_is_one_line_after_the_tools_name(capsys):
    assert main(['typo']) == 1
    assert capsys.readouterr() == ('', 'test_command_line: expected a word, got typo\n')


def test_any_other_error_stays_a_traceback():
    with pytest.raises(KeyError, match='ours'):
        main(['fault'])


def test_the_function_keeps_its_name_and_text():
    assert (main.__name__, main.__doc__) == ('main', 'Run.')
