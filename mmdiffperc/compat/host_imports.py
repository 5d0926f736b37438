"""Explain why a host cannot be imported.

The hosts refuse other versions of mmcv in a message that leaves out the upper limit or, in old hosts, asks for an even
older mmcv. They do not say which package is too old or too new, nor how to replace it.

Delete when the hosts name the package to replace.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mmdiffperc.doctor.findings import unsupported
from mmdiffperc.doctor.packages import PACKAGES, find_installed

BY_MODULE = {package.module: package for package in PACKAGES}


@contextmanager
def host_imports() -> Iterator[None]:
    """Import a host in the block; if that fails because of another package, say which, and how to install it.

    Raises:
        OSError: A version of the host, or of a package that it needs, is not supported.
        ModuleNotFoundError: The host, or a package that it needs, is not installed.
    """
    try:
        yield
    except Exception as error:  # the hosts raise AssertionError, and a host of another age may raise anything
        # mmengine names a package that a config inherits from only at the beginning of its message.
        missing = isinstance(error, ModuleNotFoundError) and (error.name or str(error).partition(' ')[0])
        if package := BY_MODULE.get(missing):
            command = package.command.replace('{source}', 'mmdiffperc')
            message = f'{error}. It is needed for {package.serves}. Run: {command}'
            raise ModuleNotFoundError(message, name=error.name) from error
        if found := next(unsupported(find_installed()), None):
            raise OSError(f'{found.what} is installed, but {found.why}. Run: {found.command}') from error
        raise
