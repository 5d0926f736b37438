"""Commands of the documentation, parsed as their programs do."""

import functools
import re
import runpy
import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pages import ROOT

CONFIG = re.compile(r'(configs|projects)/\S+\.py')


@functools.cache
def parser_of_host(action: str):
    """Return the function that parses the command line of mmseg's script."""
    (folder,) = find_spec('mmseg').submodule_search_locations
    return runpy.run_path(f'{folder}/.mim/tools/{action}.py')['parse_args']


def parse(command: str):
    """Parse a command of a tool or of mim, in a folder that holds all files of which it gives only the name."""
    words = shlex.split(command)
    program, script, *arguments = [str(ROOT / word) if CONFIG.fullmatch(word) else word for word in words]
    for word in arguments:
        if not re.search('[-/=]', word):
            Path(word).touch()
    if program == 'python':
        tool = import_module(Path(script).stem)
        assert Path(tool.__file__) == ROOT / script
        task = [tool.find_task(arguments)] if hasattr(tool, 'find_task') else []
        tool.build_parser(*task).parse_args(arguments)
    else:
        mim = import_module(f'mim.commands.{script}').cli.make_context(script, arguments).params
        sys.argv = [script, mim['config'], *filter(None, [mim.get('checkpoint')]), *mim['other_args']]
        parser_of_host(script)()
