import argparse
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdiffperc.files import whole_file
from mmdiffperc_cli.options import (
    add_shared,
    bounded,
    config_file,
    existing_file,
    file_name,
    key_value,
    one_line_errors,
    positive,
    positive_float,
    seed,
    tool_parser,
)

ROOT = Path(__file__).parents[2]


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run."""
    if arguments == ['typo']:
        raise ValueError('expected a word, got typo')
    if arguments == ['fault']:
        raise KeyError('ours')
    print(arguments)


def test_the_reason_why_the_imports_of_a_config_failed(tmp_path, capsys):
    """mmengine replaces it by a list of `sys.path`."""
    (tmp_path / 'mine.py').write_text("custom_imports = dict(imports=['nowhere'])")

    @one_line_errors(ImportError)
    def tool(arguments):
        Config.fromfile(tmp_path / 'mine.py')

    assert tool() == 1
    assert capsys.readouterr().err.endswith(": No module named 'nowhere'\n")


def test_success(capsys):
    assert main(['word', '7']) == 0
    assert capsys.readouterr() == ("['word', '7']\n", '')


def test_an_expected_error_is_one_line_after_the_tools_name(capsys):
    assert main(['typo']) == 1
    assert capsys.readouterr() == ('', 'test_options: expected a word, got typo\n')


def test_any_other_error_stays_a_traceback():
    with pytest.raises(KeyError, match='ours'):
        main(['fault'])


def test_the_function_keeps_its_name_and_text():
    assert (main.__name__, main.__doc__) == ('main', 'Run.')


def parse(kind, text):
    parser = argparse.ArgumentParser()
    parser.add_argument('--option', type=kind)
    return parser.parse_args(['--option', text]).option


@pytest.mark.parametrize(
    ('kind', 'text', 'value'),
    [
        (bounded(int), '-7', -7),
        (positive, '1', 1),
        (positive_float, '1e-12', 1e-12),
        (bounded(float, 0, 1), '1', 1.0),
        (bounded(int, 8, 64, multiple_of=8), '24', 24),
        (file_name('.png'), 'a/b.PNG', Path('a/b.PNG')),
        (config_file, 'mmseg::pspnet/model', 'mmseg::pspnet/model'),
        (config_file, __file__, __file__),
        (existing_file, __file__, Path(__file__)),
        (key_value, 'a.b=c=d', 'a.b=c=d'),
    ],
)
def test_options(kind, text, value):
    parsed = parse(kind, text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        (positive, '0'),
        (positive, '1.5'),
        (positive, 'many'),
        (positive, ''),
        (positive_float, '0'),
        (bounded(float), 'nan'),
        (bounded(float), 'inf'),
        (bounded(int, most=9), '1' + '0' * 4000),
        (bounded(float, 0, 1), '1.1'),
        (bounded(int, 8, 64, multiple_of=8), '20'),
        (seed, '-1'),
        (seed, str(2**32)),
        (file_name('.png', '.pdf'), 'figure.txt'),
        (config_file, str(ROOT / 'pyproject.toml')),
        (config_file, str(ROOT)),
        (config_file, '/nowhere/config.py'),
        (config_file, ''),
        (existing_file, '/nowhere/list.txt'),
        (existing_file, str(ROOT)),
        (key_value, 'a.b'),
        (key_value, '=c'),
    ],
)
def test_options_out_of_range(kind, text, capsys):
    with pytest.raises(SystemExit):
        parse(kind, text)
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--option' in error and 'expected' in error and text[:50] in error and len(error) < 250


def test_shared_arguments():
    parser = tool_parser('Do.\n\n    python do.py')
    add_shared(parser, 'config', 'of a segmentor')
    add_shared(parser, '--out', default=Path('50%'))
    add_shared(parser, '--batch-size', 'images', default=4)
    add_shared(parser, '--indices', default=[0, 3])
    add_shared(parser, '--device')
    add_shared(parser, '--cfg-options')
    args = parser.parse_args([__file__, '--out', 'a', '--cfg-options', 'model.a=2', 'b=[x,y]'])
    gpu_or_cpu = 'cuda' if torch.cuda.is_available() else 'cpu'
    assert (args.config, args.out, args.batch_size, args.indices) == (__file__, Path('a'), 4, [0, 3])
    assert (args.device, args.cfg_options) == (gpu_or_cpu, {'model.a': 2, 'b': ['x', 'y']})
    text = ' '.join(parser.format_help().split())
    for expected in ('Do. python', '(of a segmentor)', '(default: 50%)', '(images; default: 4)', '(default: 0 3)'):
        assert expected in text


@pytest.mark.parametrize('name', ['gpu', 'cuda:99', 'meta'])
def test_a_device_is_checked_after_everything_else(name, capsys):
    parser = tool_parser('Do.')
    add_shared(parser, '--device')
    assert parser.parse_args(['--device', 'cpu']).device == 'cpu'
    with pytest.raises(SystemExit):
        parser.parse_args(['--device', name, '--typo'])
    assert '--typo' in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit):
        parser.parse_args(['--device', name])
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--device' in error and 'expected' in error and name in error


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_tool_and_removes_what_is_half_written(tmp_path, capsys, number):
    @one_line_errors(ValueError)
    def tool(path):
        with whole_file(path) as partial:
            partial.write_text('half')
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    assert tool(tmp_path / 'a.txt') == 130
    assert 'interrupted' in capsys.readouterr().err
    assert not os.listdir(tmp_path) and signal.getsignal(number) is before
