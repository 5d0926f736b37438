"""Find what is broken or missing, and the commands that repair it: :func:`.diagnose`."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import shorten

from .imports import Imports
from .machine import GIB, OFFLINE, REACHABLE, Machine
from .packages import EVERYTHING, PACKAGES, Installed, Package

LONGEST_ERROR = 300
BROKEN, DOUBTFUL, MISSING = 'broken', 'doubtful', 'missing'
MMCV_LITE = "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"
FULL_MMCV = (
    "pip uninstall -y mmcv-lite && pip install 'torch<2.14' torchvision 'setuptools<81' wheel ninja psutil && "
    'pip install --no-build-isolation mmcv==2.1.0'
)
# For packages that `pip install` would compile, or install with dependencies that do not build.
INSTALL = {'mmcv': MMCV_LITE, 'mmcv-lite': MMCV_LITE, 'mmpose': 'pip install --no-deps mmpose==1.3.2'}
REFUSED = r'(mmcv|mmengine)==.* is used but incompatible'  # by the hosts
SIZE_OF_WEIGHTS = 5 * GIB
VENV = 'python -m venv --system-site-packages my-env && source my-env/bin/activate'
# To be run on a machine with internet access, whose cache is then copied.
DOWNLOAD = 'hf download stable-diffusion-v1-5/stable-diffusion-v1-5'


@dataclass(frozen=True)
class Finding:
    """A fact about an environment that its user should know.

    Args:
        kind (str): ``'broken'``: an installed package does not work. ``'doubtful'``: it works, but another package
            declares that it needs a different version. ``'missing'``: an optional package or resource is missing.
        what (str): The packages.
        why (str): The error, or what does not work.
        command (str): The command that helps; empty if none does.
    """

    kind: str
    what: str
    why: str
    command: str = ''


@dataclass(frozen=True)
class Remedy:
    """The cause of a known error, and the command that repairs it.

    Args:
        pattern (str): Regular expression for the error; case is ignored.
        cause (str): What causes the error.
        command (str): The command. ``{distributions}`` stands for the packages that cannot be imported.
    """

    pattern: str
    cause: str
    command: str


REMEDIES = (
    Remedy(
        REFUSED,
        'mmsegmentation and mmdetection accept mmcv and mmcv-lite from 2.0 to below 2.2',
        MMCV_LITE,
    ),
    Remedy(r'mmcv\W_ext', 'mmcv was compiled for another version of torch', MMCV_LITE),
    Remedy('ImpImporter', 'setuptools is too old for this Python', "pip install --upgrade 'setuptools<81'"),
    Remedy(
        'torchvision',
        'torch and torchvision belong to different releases',
        'pip install --force-reinstall torch torchvision',
    ),
    Remedy(r'libGL\.so|libgthread|libglib', 'OpenCV needs system libraries', 'apt-get install libgl1 libglib2.0-0'),
    Remedy(
        r'numpy\.dtype size changed|compiled using NumPy 1|numpy\.core\.multiarray failed to import',
        'the package was built for another version of numpy',
        'pip install --upgrade --force-reinstall --no-deps {distributions}',
    ),
)


def diagnose(imports: Imports, installed: Installed, machine: Machine) -> list[Finding]:
    """Return what is broken, doubtful and missing; an empty list if nothing is wrong."""
    return [
        *_clashes(installed),
        *unsupported(installed),
        *_broken(imports, installed),
        *_disagreements(installed),
        *_missing(imports),
        *_without_operators(imports),
        *_lacking(imports, machine),
    ]


def _clashes(installed: Installed) -> Iterator[Finding]:
    """Find distributions that install different files under the same names."""
    opencv = installed.providers.get('cv2', [])
    if len({installed.versions[name] for name in opencv}) > 1:
        command = f'pip uninstall -y {" ".join(opencv)} && pip install opencv-python'
        yield Finding(BROKEN, installed.provided('cv2'), 'one has overwritten files of the other', command)
    if len(installed.providers.get('mmcv', [])) > 1:
        yield Finding(BROKEN, installed.provided('mmcv'), 'one has overwritten files of the other', MMCV_LITE)


def unsupported(installed: Installed) -> Iterator[Finding]:
    """Find versions that mmdiffperc or the hosts do not support."""
    for requirement, found in installed.unmet('mmdiffperc'):
        name = found.partition(' ')[0]
        command = INSTALL.get(name, f"pip install '{requirement}'")
        yield Finding(BROKEN, found, f'mmdiffperc needs {requirement}', command)


def _disagreements(installed: Installed) -> Iterator[Finding]:
    """Find versions that a package rejects. Packages installed with ``--no-deps`` are left out."""
    modules = [package.module for package in PACKAGES if '--no-deps' not in package.command]
    names = {name for module in modules for name in installed.providers.get(module, [])}
    for name in sorted(names - {'mmdiffperc'}):
        for requirement, found in installed.unmet(name):
            why = f'{name} {installed.versions[name]} declares that it needs {requirement}'
            yield Finding(DOUBTFUL, found, why, f"pip install '{requirement}'")


def _broken(imports: Imports, installed: Installed) -> Iterator[Finding]:
    """Find packages that fail although nothing is missing. Packages with the same error share a finding.

    Hosts that refuse a version are left out if an unsupported version explains that.
    """
    groups = defaultdict(list)
    is_explained = any(unsupported(installed))
    for package in PACKAGES:
        error = imports.outcomes[package.module].error
        if is_explained and re.search(REFUSED, error, re.IGNORECASE):
            continue
        if error and not imports.is_missing(package.module) and not imports.missing_need(package.module):
            groups[error].append(package)
    for error, packages in groups.items():
        what = ', '.join(installed.provided(package.module) or package.module for package in packages)
        known = (remedy for remedy in REMEDIES if re.search(remedy.pattern, error, re.IGNORECASE))
        remedy = next(known, None)
        why = shorten(error, LONGEST_ERROR, placeholder=' ...') + (f' ({remedy.cause})' if remedy else '')
        names = ' '.join(installed.providers.get(packages[0].module, [packages[0].module]))
        command = remedy.command.format(distributions=names) if remedy else _repair(error, packages[0], names)
        yield Finding(BROKEN, what, why, command)


def _repair(error: str, package: Package, names: str) -> str:
    needs_more = error.startswith('ModuleNotFoundError') or package.module == 'mmdiffperc'
    return package.command if needs_more else f'pip install --force-reinstall --no-deps {names} && {package.command}'


def _missing(imports: Imports) -> Iterator[Finding]:
    """Find missing packages. Packages with the same purpose and the same command share a finding."""
    groups = defaultdict(list)
    for package in PACKAGES:
        if imports.is_missing(package.module):
            groups[package.serves, package.command].append(package.module)
    for (serves, command), modules in groups.items():
        kind = BROKEN if serves == EVERYTHING else MISSING
        yield Finding(kind, ', '.join(modules), f'not installed; needed for {serves}', command)


def _without_operators(imports: Imports) -> Iterator[Finding]:
    mmcv = imports.outcomes['mmcv']
    if not mmcv.error and not mmcv.origin:  # mmcv._ext is mmdiffperc.compat's stand-in
        why = (
            'not installed; needed for the compiled operators of mmcv, such as the focal loss of mmdetection on a GPU; '
            'NMS, RoIAlign and deformable convolution work without it'
        )
        yield Finding(MISSING, 'full mmcv', why, FULL_MMCV)


def _lacking(imports: Imports, machine: Machine) -> Iterator[Finding]:
    """Find what the machine lacks for training full-size models."""
    if not imports.gpus and not imports.outcomes['torch'].error:
        why = 'needed to train full-size models; models with tiny-sd train on the CPU'
        yield Finding(MISSING, 'GPU', why, _command_for_gpu(imports, machine))
    if machine.free_in_cache < SIZE_OF_WEIGHTS:
        why = f'{SIZE_OF_WEIGHTS // GIB} GiB needed for the weights of Stable Diffusion 1.5'
        yield Finding(MISSING, 'disk space', why, 'export HF_HOME=/path/to/a/larger/disk')
    if machine.free_here < GIB:
        why = '1 GiB needed here to train models with tiny-sd; a checkpoint of a full-size model takes 10 GiB'
        yield Finding(MISSING, 'disk space', why, 'cd /path/to/a/larger/disk')
    if not machine.can_install:
        why = 'read-only; needed to install or replace packages; training and prediction do not write to it'
        yield Finding(MISSING, 'site folder', why, VENV)
    if machine.hub_answer != REACHABLE:
        switches = [name for name in OFFLINE if name in machine.hub_answer]
        why = 'needed for weights given by their id on the hub; local files and folders need no hub'
        yield Finding(MISSING, 'hub', why, f'unset {switches[0]}' if switches else DOWNLOAD)


def _command_for_gpu(imports, machine):
    if not machine.has_driver:
        return ''
    # A CPU-only build of torch must be replaced; with a CUDA build, the driver may be too old.
    return 'nvidia-smi' if imports.platform else 'pip install --force-reinstall torch torchvision'
