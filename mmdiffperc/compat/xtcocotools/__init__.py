"""Makes ``import xtcocotools``, which mmpose does, work where that package does not.

xtcocotools has no wheel for Python 3.12 or newer, and its wheels for older ones are built for numpy 1. This folder then
takes its place: pycocotools with the extensions that mmpose uses, and equal results. Nothing happens where xtcocotools
works.

Delete when mmpose imports pycocotools, or xtcocotools has wheels for the supported Pythons and numpy 2.
"""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGE = 'xtcocotools'


def install():
    """Register the stand-in, whose modules are imported only when they are asked for."""
    if not _works():
        package = ModuleType(PACKAGE)
        package.__path__ = [str(Path(__file__).parent)]
        package.__spec__ = ModuleSpec(PACKAGE, loader=None, is_package=True)
        sys.modules[PACKAGE] = package


def _works() -> bool:
    try:
        import xtcocotools._mask  # noqa: F401
    except (ImportError, ValueError):  # absent, or built for another numpy: "numpy.dtype size changed"
        return False
    return True
