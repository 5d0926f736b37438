"""The command line of the doctor."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .findings import BROKEN, Finding, diagnose
from .imports import import_all
from .installed import Installed, find_installed
from .machine import find_machine, lacking
from .packages import PACKAGES
from .report import write_report

DESCRIPTION = """\
Say what is installed, what is broken or missing, what that prevents, and what to type.

The exit status is 1 if something that is installed cannot work, and 0 otherwise. At most one request is sent, to the
hub of Hugging Face; HF_HUB_OFFLINE=1 prevents it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Args:
        arguments (Sequence[str] | None): The command line. Default: the one of the process.

    Returns:
        int: 1 if something that is installed cannot work, otherwise 0.
    """
    parser = argparse.ArgumentParser(
        prog='doctor', description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    installed, machine = find_installed(), find_machine(os.environ)
    print('Importing what is installed, which takes some seconds ...', file=sys.stderr)
    imports = import_all(PACKAGES)
    findings = [*diagnose(imports, installed), *lacking(imports, machine)]
    print(write_report(imports, installed, machine, [_with_source(finding, installed) for finding in findings]))
    return int(any(finding.kind == BROKEN for finding in findings) or imports.have_failed())


def _with_source(finding: Finding, installed: Installed) -> Finding:
    """Fill in what stands for mmdiffperc on the command line of pip: its name, or the folder of a clone."""
    source = 'mmdiffperc' if 'mmdiffperc' in installed.versions else str(Path(__file__).parents[2])
    return replace(finding, command=finding.command.replace('{source}', source))
