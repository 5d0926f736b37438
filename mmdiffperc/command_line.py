"""What the command-line tools share."""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def one_line_errors(*expected: type[Exception]) -> Callable:
    """Decorate a tool's ``main``: errors that its user can mend are told in one line, without a traceback.

    Args:
        *expected (type[Exception]): Those errors; any other stays a traceback, since it is a fault of ours.

    Returns:
        Callable: Decorator of a function of the command-line arguments (``None``: those of the process). The decorated
        function returns the exit status: 0, or 1 after an expected error, told on stderr after the tool's name.
    """

    def decorate(main: Callable) -> Callable[[Sequence[str] | None], int]:
        @functools.wraps(main)
        def command(arguments=None) -> int:
            try:
                main(arguments)
            except expected as error:
                print(f'{Path(inspect.getfile(main)).stem}: {error}', file=sys.stderr)
                return 1
            return 0

        return command

    return decorate
