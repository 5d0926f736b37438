"""One vocabulary for all tools: their parsers, and what they import."""

import ast
import importlib.util
import sys
from argparse import REMAINDER, SUPPRESS, ArgumentParser
from collections import defaultdict
from pathlib import Path
from pkgutil import resolve_name

import pytest

from mmdiffperc.inference.builder import INFERENCERS
from mmdiffperc_cli.options import SHARED, tool_parser

ROOT = Path(__file__).parents[2]
FOLDERS = ('tools', 'tools/dataset_converters', 'projects/dmp/tools')
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob('*.py'))]
TOOLS = [path for path in SCRIPTS if "__name__ == '__main__'" in path.read_text()]
MAIN = 'mmdiffperc_cli.main'
COMMANDS = [MAIN, 'tools/train.py', 'tools/test.py']  # which pass their arguments on
POSITIONALS = ['config', 'weights', 'input', 'pred', 'ground_truth']
# Words that mean the same as an option of the vocabulary.
SYNONYMS = {
    '--weights': {'--checkpoint', '--ckpt', '--load-from'},
    '--config': {'--cfg'},
    '--out': {'--out-dir', '--output', '--output-dir', '--dst', '--save-dir', '--export'},
    '--out-file': {'--file', '--json', '--figure'},
    '--device': {'--gpu', '--cuda'},
    '--dtype': {'--precision', '--fp16', '--half', '--amp'},
    '--batch-size': {'--batch', '--bs'},
    '--seed': {'--random-seed', '--rng'},
    '--workers': {'--jobs', '--num-workers', '--processes', '--nproc'},
    '--cfg-options': {'--options', '--set'},
    '--num-steps': {'--steps', '--num-inference-steps'},
    '--guidance-scale': {'--guidance', '--cfg-scale'},
    '--indices': {'--ids'},
    '--index': {'--rank'},
    '--world-size': {'--num-parts', '--ngpu'},
    '--strides': {'--stride'},
    '--text': {'--prompts', '--caption', '--sentence', '--phrase'},
    '--skip-existing': {'--resume', '--continue'},
    'input': {'--input', '--image', '--images', '--src', '--source', '--keywords', '--captions'},
}


def parser_of(source: Path | str):
    """The parser of a script or a module, imported under a name of its own."""
    if isinstance(source, str):
        return importlib.import_module(source).build_parser()
    spec = importlib.util.spec_from_file_location(f'vocabulary_{source.stem}', source)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(source.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(source.parent))
    return module.build_parser()


@pytest.fixture(scope='module')
def actions():
    """Tool, name and action of all arguments of all tools, and of the tasks of predict.py."""
    sources = {path.relative_to(ROOT).as_posix(): path for path in TOOLS} | {
        'mmdiffperc_cli.main': 'mmdiffperc_cli.main'
    }
    parsers = {name: parser_of(source) for name, source in sources.items()}
    for name in INFERENCERS.values():
        parsers[name] = tool_parser('')
        resolve_name(name).add_options(parsers[name])
    return [
        (tool, (action.option_strings or [action.dest])[-1], action)
        for tool, parser in parsers.items()
        for action in parser._actions
        if action.dest != 'help'
    ]


def test_all_tools_are_found(actions):
    assert len(TOOLS) > 15
    assert {'tools/benchmark.py', 'projects/dmp/tools/make_images.py', MAIN} <= {a[0] for a in actions}


def test_no_option_has_a_synonym(actions):
    right = {wrong: name for name, synonyms in SYNONYMS.items() for wrong in synonyms}
    assert [(tool, name, right[name]) for tool, name, _ in actions if name in right] == []


def test_every_argument_has_a_help_text(actions):
    assert [(tool, name) for tool, name, action in actions if action.help in (None, '', SUPPRESS)] == []


def test_an_option_means_the_same_in_all_tools(actions):
    """What a tool adds stands in parentheses."""
    meanings = defaultdict(set)
    for _, name, action in actions:
        if name.startswith('--'):
            meanings[name].add(action.help.partition(' (')[0])
    for name, settings in SHARED.items():
        if name in meanings:
            meanings[name].add(settings['help'])
    assert {name: texts for name, texts in meanings.items() if len(texts) > 1} == {}


def test_dtypes_and_types_are_the_shared_ones(actions):
    for tool, name, action in actions:
        shared = SHARED.get(name)
        if shared:
            expected = ArgumentParser().add_argument(name, **shared)
            assert type(action) is type(expected), (tool, name)
            assert 'choices' not in shared or action.choices == shared['choices'], (tool, name)


def test_positionals_have_one_order(actions):
    positionals = defaultdict(list)
    for tool, name, action in actions:
        if not action.option_strings and tool not in COMMANDS:
            positionals[tool].append(name)
            assert action.metavar == name.upper() and action.nargs != REMAINDER
    for tool, names in positionals.items():
        assert names == [name for name in POSITIONALS if name in names], tool


def test_no_tool_imports_a_tool():
    """What tools share lies in the package, or beside them in a module that is not a tool."""
    names = {path.stem for path in TOOLS}
    for path in SCRIPTS:
        tree = ast.parse(path.read_text())
        imported = {
            module
            for node in ast.walk(tree)
            for module in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not imported & names, path
