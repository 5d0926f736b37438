"""Environments that are made up: everything works, except for what a test says."""

from pathlib import Path

from mmdiffperc.doctor.imports import Imports, Outcome
from mmdiffperc.doctor.machine import GIB, Machine
from mmdiffperc.doctor.packages import PACKAGES, Installed


def imports(gpus=('a GPU',), platform='CUDA 13.2', **outcomes):
    """All packages work, with full mmcv."""
    works = {package.module: Outcome(origin=f'/site/{package.module}.py') for package in PACKAGES}
    return Imports(works | outcomes, list(gpus), platform)


def missing(module):
    """A package that is not installed."""
    return Outcome(f"ModuleNotFoundError: No module named '{module}'", lacks=module)


def installed(providers=None, requirements=None, **versions):
    """Distributions; in their names ``_`` stands for ``-``."""
    versions = {name.replace('_', '-'): version for name, version in versions.items()}
    return Installed({'packaging': '26.3', **versions}, providers or {}, requirements or {})


def machine(**facts):
    """A machine that lacks nothing."""
    space = dict(memory=(12 * GIB, 16 * GIB), cache=Path('/cache/hub'), free_in_cache=50 * GIB, free_here=7 * GIB)
    access = dict(hub='https://huggingface.co', hub_answer='reachable', has_driver=True, can_install=True)
    return Machine(**(space | access | facts))


def write_distribution(folder, name, version):
    """The metadata of a distribution in a site folder."""
    metadata = folder / f'{name.replace("-", "_")}-{version}.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
