"""Short names for many parameters of a model."""

import os
from collections import defaultdict
from collections.abc import Iterable


def common_modules(names: Iterable[str]) -> list[str]:
    """Return the longest common module name of the parameters in each direct submodule of a model.

    If a submodule has one parameter only, its full name is returned.

    Args:
        names (Iterable[str]): Full parameter names, such as ``'backbone.unet.conv_in.weight'``.
    """
    by_child = defaultdict(list)
    for name in names:
        path = name.split('.')
        by_child[path[0]].append(path)
    return ['.'.join(os.path.commonprefix(paths)) for paths in by_child.values()]
