"""Memory, disk space and hub access of this machine. GPUs are found by the process that imports torch."""

import os
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

GIB = 2**30
CGROUP_LIMIT = Path('/sys/fs/cgroup/memory.max')
DEFAULT_ENDPOINT = 'https://huggingface.co'
OFFLINE = ('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE')
REACHABLE = 'reachable'
PATIENCE = 3  # seconds


@dataclass(frozen=True)
class Machine:
    """The resources of a machine.

    Args:
        memory (tuple[int, int] | None): Free and total main memory in bytes; ``None`` if unknown.
        cache (Path): The folder to which the hub client downloads.
        free_in_cache (int): Free bytes there.
        free_here (int): Free bytes in the current folder.
        hub (str): Address of the hub.
        hub_answer (str): ``'reachable'``, or the reason why the hub is not.
        has_driver (bool): Whether an NVIDIA driver is installed.
        can_install (bool): Whether the folder of the installed packages can be written to.
    """

    memory: tuple[int, int] | None
    cache: Path
    free_in_cache: int
    free_here: int
    hub: str
    hub_answer: str
    has_driver: bool
    can_install: bool


def find_machine(environment: Mapping[str, str]) -> Machine:
    """Inspect this machine, and send one request to the hub unless the environment forbids it."""
    cache = hub_cache(environment)
    return Machine(
        _memory(),
        cache,
        _free(cache),
        _free(Path.cwd()),
        *ask_hub(environment),
        has_driver=shutil.which('nvidia-smi') is not None,
        can_install=os.access(sysconfig.get_paths()['purelib'], os.W_OK),
    )


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Return the folder to which the hub client downloads."""
    caches = Path(environment.get('XDG_CACHE_HOME', '~/.cache'))
    home = Path(environment.get('HF_HOME', caches / 'huggingface'))
    return Path(os.path.expanduser(environment.get('HF_HUB_CACHE', home / 'hub'))).absolute()


def _memory():
    try:
        import psutil  # a dependency of accelerate, which may be missing
    except ImportError:
        return None
    machine = psutil.virtual_memory()
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else ''
    total = min(machine.total, int(limit)) if limit.isdigit() else machine.total  # a container's limit
    return min(machine.available, total), total


def _free(folder):
    """Return the free space of a folder that may not exist yet or may not be readable."""
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free


class _NoRedirect(HTTPRedirectHandler):
    """Treat a redirection as the answer, so that only one request is sent."""

    def redirect_request(self, *arguments):
        """Do not follow the redirection."""


def ask_hub(environment: Mapping[str, str], patience: float = PATIENCE) -> tuple[str, str]:
    """Send one HEAD request to the hub, unless the environment forbids it.

    Args:
        environment (Mapping[str, str]): The variables that the hub client reads: ``HF_ENDPOINT``,
            ``HF_HUB_OFFLINE``, ``TRANSFORMERS_OFFLINE``.
        patience (float): Seconds to wait for an answer.

    Returns:
        tuple[str, str]: The address without user name and password; and ``'reachable'``, or the reason why it is not.
    """
    endpoint = environment.get('HF_ENDPOINT', DEFAULT_ENDPOINT)
    try:
        parts = urlsplit(endpoint)
        shown = f'{parts.scheme}://{parts.hostname}{f":{parts.port}" if parts.port else ""}'
    except ValueError:  # for instance, a port that is not a number
        parts, shown = urlsplit(''), 'HF_ENDPOINT'
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        return shown, 'not asked, because HF_ENDPOINT is not an address of the form https://...'
    for name in OFFLINE:
        if environment.get(name, '').upper() in ('1', 'ON', 'YES', 'TRUE'):
            return shown, f'not asked, because {name} is set'
    return shown, _ask_in_time(endpoint, patience)


def _ask_in_time(address, patience):
    """Ask in a thread that is abandoned at the time limit, because resolving a host name has none."""
    answers = SimpleQueue()
    Thread(target=lambda: answers.put(_ask(address, patience)), daemon=True).start()
    try:
        return answers.get(timeout=patience)
    except Empty:
        return f'no answer within {patience} seconds'


def _ask(address, patience):
    try:
        with build_opener(_NoRedirect).open(Request(address, method='HEAD'), timeout=patience):
            return REACHABLE
    except HTTPError:  # an error or a redirection, but an answer
        return REACHABLE
    except (OSError, HTTPException, ValueError) as error:
        return f'not reachable ({getattr(error, "reason", error)})'
