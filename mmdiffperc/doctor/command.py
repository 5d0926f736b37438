"""The command line of the doctor, and its report."""

import argparse
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from runpy import run_path

from .findings import BROKEN, DOUBTFUL, MISSING, Finding, diagnose
from .imports import Imports, import_all
from .machine import GIB, Machine, find_machine
from .packages import PACKAGES, Installed, find_installed

DESCRIPTION = """\
Report which packages are installed, broken or missing, what does not work as a result, and how to fix it.

The exit status is 1 if an installed package does not work, and 0 otherwise. The doctor sends one request, to the
Hugging Face hub. Set HF_HUB_OFFLINE=1 to prevent it.
"""
HEADINGS = {
    BROKEN: 'Broken',
    DOUBTFUL: 'May fail: another package requires a different version',
    MISSING: 'Missing, but needed only for what is listed here',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report, and return the exit status: 1 if an installed package does not work, otherwise 0."""
    parser = argparse.ArgumentParser(description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    installed, machine = find_installed(), find_machine(os.environ)
    print('Importing the installed packages; this takes a few seconds ...', file=sys.stderr)
    imports = import_all(PACKAGES)
    findings = [_with_source(finding, installed) for finding in diagnose(imports, installed, machine)]
    print(write_report(imports, installed, machine, findings))
    return int(any(finding.kind == BROKEN for finding in findings) or imports.have_failed())


def _with_source(finding: Finding, installed: Installed) -> Finding:
    """Replace ``{source}`` in the command by what pip installs: ``mmdiffperc``, or the folder of a clone."""
    source = 'mmdiffperc' if 'mmdiffperc' in installed.versions else str(Path(__file__).parents[2])
    return replace(finding, command=finding.command.replace('{source}', source))


def write_report(imports: Imports, installed: Installed, machine: Machine, findings: Sequence[Finding]) -> str:
    """Return the text of the report."""
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
        if selected := [finding for finding in findings if finding.kind == kind]:
            lines += _section(heading, selected)
    return '\n'.join(lines)


def _row(module: str, imports: Imports, installed: Installed) -> tuple[str, str]:
    """Return the version and the state of a package."""
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
    if imports.outcomes['torch'].error:
        yield 'GPU', 'unknown without torch'
    elif not imports.gpus:
        yield 'GPU', f'none that torch can use (built for {imports.platform or "the CPU only"})'
    memory = '{} free of {}'.format(*map(_gib, machine.memory)) if machine.memory else 'unknown without psutil'
    yield 'memory', memory
    yield 'disk', f'{_gib(machine.free_here)} free here, {_gib(machine.free_in_cache)} in {_short(machine.cache)}'
    yield 'hub', f'{machine.hub} {machine.hub_answer}'


def _section(heading, findings):
    yield from ('', heading)
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
    """Replace the home folder by ``~``: users publish their reports, and the path contains their name."""
    home = os.path.expanduser('~')
    return f'~/{path.relative_to(home)}' if path.is_relative_to(home) else str(path)


def _gib(size):
    return f'{size / GIB:.1f} GiB'
