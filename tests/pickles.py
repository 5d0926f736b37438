"""Pickles that do something when they are loaded."""


class Call:
    """Pickles to a call of ``function(*args)``, which happens on loading.

    Args:
        function (Callable): The function.
        *args: Its arguments.
        state (object): The state that pickle then gives to the result. Default: none.
    """

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced
