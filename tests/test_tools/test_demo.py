from importlib import import_module

import pytest

import demo
from mmdiffperc_cli.main import COMMANDS


def test_help_explains_and_starts_nothing(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(['--help'])
    assert stopped.value.code == 0
    assert 'work_dirs/demo' in capsys.readouterr().out


def test_the_demo_works_without_a_clone(programs, capsys):
    """Its commands find the config in an empty folder."""
    assert demo.main([]) == 0
    names = [name for name, *_ in programs()]
    assert names == ['toy-scenes', 'train', 'test', 'draw-predictions']
    for name, *arguments in programs():
        args = import_module(COMMANDS[name].module).build_parser().parse_args(arguments)
        assert name == 'toy-scenes' or args.config.endswith(demo.CONFIG)
    *_, results, end = capsys.readouterr().out.splitlines()
    assert 'mIoU 2.0 single-scale, 3.0 multi-scale' in results
    program, name, *arguments = end.partition(': ')[2].split()
    assert program == 'mmdiffperc'
    args = import_module(COMMANDS[name].module).build_parser().parse_args(arguments)
    assert args.config.endswith(demo.CONFIG)
