"""Find out which packages can be imported: :func:`.import_all`, in a separate process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from .packages import Package

PATIENCE = 300  # seconds, for all imports together
# Imports must not send anything.
PRIVATE = {'HF_HUB_OFFLINE': '1', 'GRADIO_ANALYTICS_ENABLED': 'False', 'NO_ALBUMENTATIONS_UPDATE': '1'}
SILENT = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.DEVNULL)


@dataclass(frozen=True)
class Outcome:
    """The outcome of importing a package.

    Args:
        error (str): Type and text of the error; empty if there was none.
        lacks (str): The module that was not found, if that was the error.
        origin (str): The file of the module, if it has one.
    """

    error: str = ''
    lacks: str = ''
    origin: str = ''


@dataclass(frozen=True)
class Imports:
    """The outcomes of all imports, and what torch found.

    Args:
        outcomes (dict[str, Outcome]): The outcome for each package, by its module.
        gpus (list[str]): A description of each GPU that torch finds: name, memory, and whether it supports bfloat16.
        platform (str): The platform that torch was built for, such as ``'CUDA 13.2'``; empty for a CPU-only build.
    """

    outcomes: dict[str, Outcome]
    gpus: list[str] = field(default_factory=list)
    platform: str = ''

    def is_missing(self, module: str) -> bool:
        """Return whether a package is not installed."""
        return self.outcomes[module].lacks == module

    def missing_need(self, module: str) -> str:
        """Return the missing package that makes the import of this one fail; empty if no package is missing."""
        needed = self.outcomes[module].lacks.partition('.')[0]
        return needed if needed != module and needed in self.outcomes and self.is_missing(needed) else ''

    def have_failed(self) -> bool:
        """Return whether any installed package cannot be imported."""
        return any(outcome.error and not self.is_missing(module) for module, outcome in self.outcomes.items())


def import_all(packages: Iterable[Package], patience: float = PATIENCE) -> Imports:
    """Import packages in a separate process. If it crashes, another process continues with the next package.

    Args:
        packages (Iterable[Package]): The packages, in order.
        patience (float): Seconds after which a process that has not finished is killed.
    """
    remaining, outcomes, torch = list(packages), {}, {}
    while remaining:
        records, end = _run_child(remaining, patience)
        for record in records:
            if 'gpus' in record:
                torch = record
            else:
                outcomes[remaining.pop(0).module] = Outcome(**record)
        if remaining:
            outcomes[remaining.pop(0).module] = Outcome(error=end)
    return Imports(outcomes, **torch)


def _run_child(packages, patience):
    """Return the records of the process, and how it ended."""
    groups = [f'{package.module}={",".join(package.imports or [package.module])}' for package in packages]
    with TemporaryDirectory() as folder:
        report = Path(folder, 'report.jsonl')
        # With -P, no module beside the script hides one of the same name.
        command = [sys.executable, '-P', str(Path(__file__).with_name('child.py')), str(report), *groups]
        try:
            status = subprocess.call(command, timeout=patience, env=os.environ | PRIVATE, **SILENT)
            end = f'the import ended the process ({_describe(status)})'
        except subprocess.TimeoutExpired:
            end = f'the import took longer than {patience} seconds'
        lines = report.read_text().splitlines() if report.exists() else []
    return [json.loads(line) for line in lines], end


def _describe(status):
    return signal.Signals(-status).name if status < 0 else f'exit status {status}'
