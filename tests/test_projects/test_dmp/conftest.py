"""The scripts of ``projects/dmp/tools``."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / 'projects' / 'dmp' / 'tools'


@pytest.fixture(scope='session')
def dmp_tool():
    """Imports a script by its name, under one that no other module has."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f'dmp_tools_{name}', TOOLS / f'{name}.py')
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
