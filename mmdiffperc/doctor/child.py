"""Import packages in a separate process, so that a crash does not end the doctor.

The first argument is the file for the results, one line of JSON per package. Each further argument is a package and the
modules to import: ``PACKAGE=MODULE,MODULE``.
"""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def import_all(modules: Sequence[str]) -> dict:
    """Import modules in order, up to the first that fails.

    Returns:
        dict: ``origin``, the file of the last module; or ``error`` and ``lacks``, the module that was not found.
    """
    try:
        for module in modules:
            imported = import_module(module)
    except BaseException as error:  # a package may raise anything, even SystemExit
        lacks = error.name if isinstance(error, ModuleNotFoundError) else None
        return dict(error=' '.join(f'{type(error).__name__}: {error}'.split()), lacks=lacks or '')
    return dict(origin=getattr(imported, '__file__', None) or '')


def describe_torch() -> dict:
    """Return a description of each GPU that torch finds, and the platform that torch was built for."""
    import torch

    versions = {'CUDA': torch.version.cuda, 'ROCm': torch.version.hip}
    platform = ' '.join(f'{name} {version}' for name, version in versions.items() if version)
    return dict(
        gpus=[_describe_gpu(torch.cuda, index) for index in range(torch.cuda.device_count())], platform=platform
    )


def main(path: str, *groups: str):
    """Import all packages and write the results to the file."""
    sys.path.insert(0, '')  # like `python -m`, so that a clone is found that is not installed
    packages = {name: modules.split(',') for name, _, modules in (group.partition('=') for group in groups)}
    # Look before mmdiffperc is imported: it registers stand-ins for some missing packages.
    missing = {name for name in packages if find_spec(name) is None}
    with Path(path).open('w') as file:
        for name, modules in packages.items():
            outcome = import_all(modules)
            if 'error' in outcome and name in missing:
                outcome['lacks'] = name
            print(json.dumps(outcome), file=file, flush=True)
        if 'torch' in sys.modules:
            print(json.dumps(describe_torch()), file=file, flush=True)


def _describe_gpu(cuda, index):
    try:
        with cuda.device(index):
            free, total = (f'{size / 2**30:.1f} GiB' for size in cuda.mem_get_info())
            bf16 = 'bf16' if cuda.is_bf16_supported(including_emulation=False) else 'no bf16'
    except RuntimeError as error:  # for instance, another process has exclusive use of it
        return f'cannot be used: {" ".join(str(error).split())}'
    return f'{cuda.get_device_name(index)}, {free} free of {total}, {bf16}'


if __name__ == '__main__':
    main(*sys.argv[1:])
