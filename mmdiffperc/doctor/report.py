"""What the doctor prints: :func:`.write_report`."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from runpy import run_path

from .findings import BROKEN, DOUBTFUL, MISSING, Finding
from .imports import Imports
from .installed import Installed
from .machine import GIB, Machine
from .packages import PACKAGES

HEADINGS = {
    BROKEN: 'Broken',
    DOUBTFUL: 'May fail, because the package that asks for another version was not tested with this one',
    MISSING: 'Missing, which matters only if you need it',
}


def write_report(imports: Imports, installed: Installed, machine: Machine, findings: Sequence[Finding]) -> str:
    """Return the report.

    Args:
        imports (Imports): How the imports went, and the GPUs.
        installed (Installed): The installed distributions.
        machine (Machine): What the machine offers.
        findings (Sequence[Finding]): What is to be mended.
    """
    folder = Path(__file__).parents[1]
    lines = [
        f'mmdiffperc {run_path(str(folder / "version.py"))["__version__"]} ({_short(folder)})',
        f'Python {platform.python_version()} ({_short(Path(sys.executable))}) on {platform.platform()}',
        '',
        'Packages',
        *_columns((package.module, *_row(package.module, imports, installed)) for package in PACKAGES),
        '',
        'Machine',
        *_columns(_machine_rows(imports, machine)),
    ]
    for kind, heading in HEADINGS.items():
        lines += _section(heading, [finding for finding in findings if finding.kind == kind])
    return '\n'.join(lines)


def _row(module: str, imports: Imports, installed: Installed) -> tuple[str, str]:
    """Return version and state of a package."""
    outcome = imports.outcomes[module]
    stands_in = Path(__file__).parents[1] / 'compat' in Path(outcome.origin).parents
    version = 'stand-in of mmdiffperc' if stands_in else installed.provided(module)
    if imports.is_missing(module):
        return '', 'missing'
    if need := imports.missing_need(module):
        return version, f'needs {need}'
    return version, 'broken' if outcome.error else 'works'


def _machine_rows(imports: Imports, machine: Machine) -> Iterator[tuple[str, str]]:
    for index, gpu in enumerate(imports.gpus):
        yield f'GPU {index}', gpu
    if not imports.gpus:
        yield 'GPU', _reason_for_no_gpu(imports)
    memory = '{} free of {}'.format(*map(_gib, machine.memory)) if machine.memory else 'not known without psutil'
    yield 'memory', memory
    yield 'disk', f'{_gib(machine.free_here)} free here, {_gib(machine.free_in_cache)} in {_short(machine.cache)}'
    yield 'hub', f'{machine.hub} {machine.hub_answer}'


def _reason_for_no_gpu(imports: Imports) -> str:
    if imports.outcomes['torch'].error:
        return 'not known without torch'
    return f'none that torch can use (built for {imports.platform or "the CPU alone"})'


def _section(heading, findings):
    if not findings:
        return
    yield ''
    yield heading
    for finding in findings:
        yield f'  {finding.what}: {finding.why}'
        if finding.command:
            yield f'      {finding.command}'


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield '  ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _short(path):
    """Return a path without the name of the user, because reports are published."""
    home = os.path.expanduser('~')
    return f'~/{path.relative_to(home)}' if path.is_relative_to(home) else str(path)


def _gib(size):
    return f'{size / GIB:.1f} GiB'
