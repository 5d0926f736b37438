"""A limit on the duration of a prediction."""

import time
from collections.abc import Callable, Sequence

from torch.overrides import TorchFunctionMode


class TimeLimit(TorchFunctionMode):
    """Limit the time of the computation in a ``with`` statement: no further function of PyTorch starts after it.

    A function cannot be interrupted. Other threads may use the same model: the limit is only for its own thread.

    Args:
        seconds (float): The limit.

    Raises:
        TimeoutError: The computation took longer.
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds

    def __torch_function__(self, function: Callable, types: Sequence[type], args=(), kwargs=None):
        """Call a function of PyTorch, if there is time left."""
        if time.monotonic() >= self._deadline:
            raise TimeoutError(
                f'The prediction exceeded the time limit of {self.seconds:g} seconds: use a smaller image, or fewer '
                'steps if the task has steps'
            )
        return function(*args, **(kwargs or {}))
