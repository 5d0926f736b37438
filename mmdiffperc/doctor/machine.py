"""Memory, disk and hub of this machine; its GPUs are found by the process that imports torch."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .findings import MISSING, Finding
from .hub import OFFLINE, REACHABLE, ask_hub
from .imports import Imports

GIB = 2**30
SIZE_OF_WEIGHTS = 5 * GIB
# For a machine with internet, whose cache is then copied.
DOWNLOAD = 'hf download stable-diffusion-v1-5/stable-diffusion-v1-5'
CGROUP_LIMIT = Path('/sys/fs/cgroup/memory.max')


@dataclass(frozen=True)
class Machine:
    """What a machine offers.

    Args:
        memory (tuple[int, int] | None): Free and total main memory in bytes; ``None`` if it is not known.
        cache (Path): The folder that the client of the hub downloads to.
        free_in_cache (int): Free bytes there.
        free_here (int): Free bytes in the current folder.
        hub (str): Address of the hub.
        hub_answer (str): ``'reachable'``, or why the hub is not.
        has_driver (bool): Whether there is a driver of NVIDIA.
    """

    memory: tuple[int, int] | None
    cache: Path
    free_in_cache: int
    free_here: int
    hub: str
    hub_answer: str
    has_driver: bool


def find_machine(environment: Mapping[str, str]) -> Machine:
    """Look at this machine, and send one request to the hub unless the environment forbids it."""
    cache = hub_cache(environment)
    return Machine(
        _memory(),
        cache,
        _free(cache),
        _free(Path.cwd()),
        *ask_hub(environment),
        has_driver=shutil.which('nvidia-smi') is not None,
    )


def lacking(imports: Imports, machine: Machine) -> Iterator[Finding]:
    """Find out what a machine lacks for a training of full size.

    Args:
        imports (Imports): With the GPUs that torch can use.
        machine (Machine): What the machine offers.

    Yields:
        Finding: One of the kind ``'missing'``.
    """
    if not imports.gpus and not imports.outcomes['torch'].error:
        why = 'needed to train models of full size; those with tiny-sd train without'
        yield Finding(MISSING, 'GPU', why, _command_for_gpu(imports, machine))
    if machine.free_in_cache < SIZE_OF_WEIGHTS:
        why = f'{SIZE_OF_WEIGHTS // GIB} GiB needed for the weights of Stable Diffusion 1.5'
        yield Finding(MISSING, 'disk space', why, 'export HF_HOME=/path/to/a/larger/disk')
    if machine.hub_answer != REACHABLE:
        switches = [name for name in OFFLINE if name in machine.hub_answer]
        why = 'needed for weights named by their id on the hub; a local file or folder needs no hub'
        yield Finding(MISSING, 'hub', why, f'unset {switches[0]}' if switches else DOWNLOAD)


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Return the folder that the client of the hub downloads to."""
    caches = Path(environment.get('XDG_CACHE_HOME', '~/.cache'))
    home = Path(environment.get('HF_HOME', caches / 'huggingface'))
    return Path(os.path.expanduser(environment.get('HF_HUB_CACHE', home / 'hub'))).absolute()


def _command_for_gpu(imports, machine):
    if not machine.has_driver:
        return ''
    # Another build of torch helps where this one is for the CPU alone, and another driver where this one is too old.
    return 'nvidia-smi' if imports.platform else 'pip install --force-reinstall torch torchvision'


def _memory():
    try:
        import psutil  # comes with accelerate, so it may be missing
    except ImportError:
        return None
    machine = psutil.virtual_memory()
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else ''
    total = min(machine.total, int(limit)) if limit.isdigit() else machine.total  # of a container
    return min(machine.available, total), total


def _free(folder):
    """Return the free space of a folder that may not exist yet, or may not be looked into."""
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free
