"""The package installs what it needs, ships what it reads, and imports without what it does not need."""

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
HOSTS = ('mmcv', 'mmseg', 'mmdet', 'mmpose')
HOST_OF = dict(seg='mmseg', pose='mmpose')  # a part of the package needs
WITHOUT_HOSTS = f"""
import sys
from importlib import import_module
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition('.')[0] in {HOSTS} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hidden
from mmengine.registry import MODELS
assert 'mmdiffperc' not in sys.modules
MODELS.get('mmdiffperc.DiffusionUNet')
print(*sys.modules)
for part in {list(HOST_OF)}:
    try:
        import_module(f'mmdiffperc.{{part}}')
    except ModuleNotFoundError as error:
        print(error)
"""


def run(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def requirements(path):
    """The requirements in a file of ``requirements/`` or in the constraints file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def test_core_needs_no_host_and_a_part_names_the_one_that_is_missing():
    """The scope in the type of a model imports the core."""
    result = run('-c', WITHOUT_HOSTS)
    assert result.returncode == 0, result.stderr
    modules, *errors = result.stdout.splitlines()
    assert 'mmdiffperc.models' in modules.split()
    assert not {name.partition('.')[0] for name in modules.split()} & set(HOSTS)
    for part, host, error in zip(HOST_OF, HOST_OF.values(), errors, strict=True):
        assert error.startswith(f"No module named '{host}'") and f'mmdiffperc[{part}]' in error


def pins(name):
    """The pinned versions of a constraints file, by normalised name."""
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix('==') for pin in requirements(ROOT / name)}


@pytest.mark.parametrize('path', sorted((ROOT / 'requirements').glob('*.txt')), ids=lambda path: path.stem)
def test_tested_versions_meet_the_requirements(path):
    tested = pins('constraints.txt')
    for requirement in requirements(path):
        if path.stem == 'no-deps':  # pinned where they stand, because pip takes no constraint for them alone
            assert str(requirement.specifier).startswith('==')
            continue
        assert requirement.specifier.contains(tested[canonicalize_name(requirement.name)])


@pytest.mark.parametrize('part', ['app', 'core', 'det', 'dmp', 'mim', 'mmcv', 'pose', 'seg'])
def test_lowest_versions_are_the_lower_bounds(part):
    lowest = pins('constraints-lowest.txt')
    for requirement in requirements(ROOT / 'requirements' / f'{part}.txt'):
        bounds = {bound.operator: Version(bound.version) for bound in requirement.specifier}
        assert Version(lowest[canonicalize_name(requirement.name)]) == bounds['>='], requirement.name


def test_extras_are_what_the_documentation_says(tmp_path):
    result = run('setup.py', '--quiet', 'egg_info', '--egg-base', tmp_path)
    assert result.returncode == 0, result.stderr
    listing = next(tmp_path.glob('*.egg-info/requires.txt')).read_text()
    assert {line.strip('[]') for line in listing.splitlines() if line.startswith('[')} == {
        'all', 'app', 'det', 'dmp', 'docs', 'pose', 'seg', 'test',
    }  # fmt: skip


def test_build_ships_every_asset(tmp_path):
    result = run('setup.py', '--quiet', 'build', '--build-base', tmp_path, '--build-lib', tmp_path / 'lib')
    assert result.returncode == 0, result.stderr
    shipped = [*(ROOT / 'mmdiffperc' / 'assets').rglob('*'), *(ROOT / 'mmdiffperc' / 'configs').rglob('*.py')]
    assets = {path.relative_to(ROOT) for path in shipped if path.is_file()}
    built = {path.relative_to(tmp_path / 'lib') for path in (tmp_path / 'lib').rglob('*') if path.is_file()}
    assert assets and assets <= built
    assert Path('mmdiffperc/compat/checkpoint.py') in built and not any(path.parts[0] == 'tests' for path in built)
