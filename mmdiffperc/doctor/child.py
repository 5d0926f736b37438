"""A process that imports modules and records how each import went, so that a crash ends it and not the doctor.

Arguments: the file to write to, a line of JSON per package, and the packages, each as ``PACKAGE=MODULE,MODULE``.
"""

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def import_group(package: str, modules: list[str]) -> dict:
    """Import modules up to the first that fails.

    Args:
        package (str): The package that they are imported for.
        modules (list[str]): The modules.

    Returns:
        dict: ``origin``, the file of the last module; or ``error`` and ``lacks``, the module that is not installed.
    """
    try:
        for module in modules:
            imported = import_module(module)
    except BaseException as error:  # a package may raise anything, even SystemExit
        lacks = error.name if isinstance(error, ModuleNotFoundError) else ''
        lacks = lacks if _is_installed(package) else package
        return dict(error=' '.join(f'{type(error).__name__}: {error}'.split()), lacks=lacks or '')
    return dict(origin=getattr(imported, '__file__', None) or '')


def describe_torch() -> dict:
    """Return a line for each GPU that torch finds, and the platform that torch was built for."""
    import torch

    versions = {'CUDA': torch.version.cuda, 'ROCm': torch.version.hip}
    platform = ' '.join(f'{name} {version}' for name, version in versions.items() if version)
    return dict(
        gpus=[_describe_gpu(torch.cuda, index) for index in range(torch.cuda.device_count())], platform=platform
    )


def main(path: str, *groups: str):
    """Import all groups, and write what was found to the file."""
    sys.path.insert(0, '')  # as `python -m` does: finds a clone that is not installed
    with Path(path).open('w') as file:
        for group in groups:
            package, _, modules = group.partition('=')
            print(json.dumps(import_group(package, modules.split(','))), file=file, flush=True)
        if 'torch' in sys.modules:
            print(json.dumps(describe_torch()), file=file, flush=True)


def _describe_gpu(cuda, index):
    try:
        with cuda.device(index):
            free, total = (f'{size / 2**30:.1f} GiB' for size in cuda.mem_get_info())
            bf16 = 'bf16' if cuda.is_bf16_supported(including_emulation=False) else 'no bf16'
    except RuntimeError as error:  # another process has taken it for itself, for instance
        return f'cannot be used: {" ".join(str(error).split())}'
    return f'{cuda.get_device_name(index)}, {free} free of {total}, {bf16}'


def _is_installed(package):
    try:
        return find_spec(package) is not None
    except ValueError:  # a module without a spec: it has been imported
        return True


if __name__ == '__main__':
    main(*sys.argv[1:])
