"""The package installs what it needs, ships what it reads, and imports without what it does not need."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mmengine.config import Config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
HOSTS = ('mmcv', 'mmseg', 'mmdet', 'mmpose')
DROP_CAPABILITY, IGNORE_PERMISSIONS = 24, 1  # PR_CAPBSET_DROP and CAP_DAC_OVERRIDE of Linux
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


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    """Built as without git, and without a trace in the repository."""
    folder = tmp_path_factory.mktemp('sdist')
    result = run('setup.py', '--quiet', 'egg_info', '--egg-base', folder, 'sdist', '--dist-dir', folder)
    assert result.returncode == 0, result.stderr
    return next(folder.glob('*.tar.gz'))


@pytest.fixture(scope='module')
def wheel(sdist):
    """Built from the sdist alone."""
    options = ('--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check')
    result = run('-m', 'pip', 'wheel', '--quiet', *options, '--wheel-dir', sdist.parent, sdist)
    assert result.returncode == 0, result.stderr
    return next(sdist.parent.glob('*.whl'))


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
    """A folder of packages in which nothing else is installed, and which nobody may write to."""
    site = tmp_path_factory.mktemp('site')
    options = ('--no-deps', '--no-index', '--disable-pip-version-check', '--quiet')
    result = run('-m', 'pip', 'install', *options, '--target', site, wheel)
    assert result.returncode == 0, result.stderr
    everything = [site, *site.rglob('*')]
    set_writable(everything, False)
    yield site
    set_writable(everything, True)


def set_writable(paths: Iterable[Path], writable: bool):
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200 if writable else path.stat().st_mode & ~0o222)


def obey_permissions():
    """As root, no longer ignore the permissions of files."""
    ctypes.CDLL(None).prctl(DROP_CAPABILITY, IGNORE_PERMISSIONS)


def shipped(folder, suffixes):
    """The files below a folder of the repository, of these types."""
    files = (path for path in (ROOT / folder).rglob('*') if path.is_file() and '__pycache__' not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if not suffixes or path.suffix in suffixes}


def test_the_wheel_holds_what_the_package_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith('.dist-info/METADATA'))
        extras = message_from_bytes(archive.read(metadata)).get_all('Provides-Extra')
    assert wheel.stat().st_size < 40e6
    for folder, suffixes in (('mmdiffperc/assets', ()), ('mmdiffperc/configs', ('.py',)), ('mmdiffperc_cli', ('.py',))):
        assert shipped(folder, suffixes) <= names
    for folder in ('configs', 'projects', 'tools'):
        files = shipped(folder, ('.py', '.yml', '.md'))
        assert files and {f'mmdiffperc/.mim/{file}' for file in files} <= names
    assert {'mmdiffperc/.mim/model-index.yml', 'mmdiffperc/compat/checkpoint.py'} <= names
    assert not [name for name in names if name.endswith('.pyc') or name.startswith('tests/')]
    assert set(extras) == {'all', 'app', 'det', 'dmp', 'docs', 'export', 'memory', 'pose', 'seg', 'test'}


FROM_THE_WHEEL = """
import json, os, subprocess, sys
from mim import get_model_info, train
import mmdiffperc
from mmdiffperc_cli.main import main

config = 'vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
print(os.access(os.path.dirname(mmdiffperc.__file__), os.W_OK))
options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2']
print(mmdiffperc.__file__)
print(config.removesuffix('.py') in get_model_info('mmdiffperc').index)
train('mmdiffperc', config, gpus=0, other_args=('--work-dir', 'trained', '--cfg-options', *options))
main(['test', config, 'trained/iter_2.pth', '--work-dir', 'tested'])
print(main(['predict', config, 'trained/iter_2.pth', 'data/toy/ade/images/validation', '--out', 'predicted']))
"""


def test_an_empty_folder_and_the_wheel_are_enough(site, toy_root, tmp_path):
    """mim finds the index, a config by its name, and the script that trains; the command does the rest.

    All of it works although the folder of the packages is read-only.
    """
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'toy').symlink_to(toy_root)
    environment = dict(os.environ, PYTHONPATH=str(site), PATH=f'{site}/bin{os.pathsep}{os.environ["PATH"]}')
    command = [sys.executable, '-W', 'ignore', '-c', FROM_THE_WHEEL]
    streams = dict(capture_output=True, text=True)
    result = subprocess.run(command, cwd=tmp_path, env=environment, preexec_fn=obey_permissions, **streams)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:3] == ['False', str(site / 'mmdiffperc' / '__init__.py'), 'True'] and lines[-1] == '0'
    assert list(tmp_path.glob('tested/*/*.json')) and len(list(tmp_path.glob('predicted/*_labels.png'))) == 8
    help_text = subprocess.run(['mmdiffperc', '--help'], env=environment, capture_output=True, text=True).stdout
    assert 'toy-scenes' in help_text


class Storage(BaseHTTPRequestHandler):
    """Answers every request with a checkpoint, whose content is the address."""

    def do_GET(self):
        content = self.path.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def storage():
    """The address of a server on this machine."""
    with ThreadingHTTPServer(('127.0.0.1', 0), Storage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_mim_downloads_checkpoints_with_their_configs(site, storage, tmp_path):
    """From the addresses in the index, with another host. The page about mim quotes its error without a checkpoint."""
    copy = shutil.copytree(site, tmp_path / 'site')
    set_writable([copy, *copy.rglob('*')], True)
    index = copy / 'mmdiffperc/.mim/configs/vpd/metafile.yml'
    index.write_text(re.sub(r'(?<=  Weights: )https://[^/]+', storage, index.read_text()))
    environment = dict(os.environ, PYTHONPATH=str(copy))

    def download(*configs):
        command = [sys.executable, '-m', 'mim', 'download', 'mmdiffperc', '--config', *configs, '--dest', 'zoo']
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    names = ['vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512', 'vpd_sd1-5_4xb8-25k_nyu-480x480']
    result = download(*names)
    assert result.returncode == 0, result.stderr
    checkpoints = {file.name: file.read_text() for file in (tmp_path / 'zoo').iterdir() if file.suffix == '.pth'}
    assert checkpoints.pop('vpd_ade20k.pth') == '/f/78ca31e53c5549779abd/?dl=1'
    ((name, address),) = checkpoints.items()
    assert name.startswith('vpd_sd_4xb8-25k_nyu') and address == f'/mmsegmentation/v0.5/vpd/{name}'
    for name in names:
        assert (
            Config.fromfile(tmp_path / f'zoo/{name}.py').model == Config.fromfile(ROOT / f'configs/vpd/{name}.py').model
        )
    error = download('vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128').stderr.splitlines()[-1]
    assert error.removeprefix('AttributeError: ') in (ROOT / 'docs/commands.md').read_text()
