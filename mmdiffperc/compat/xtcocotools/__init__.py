"""Replace xtcocotools, which mmpose imports, where it cannot be imported.

xtcocotools has no wheel for Python 3.12 or newer, and its wheels for older versions are built for numpy 1. This folder
then replaces it with pycocotools and the extensions that mmpose uses, with equal results. Nothing happens if
xtcocotools works.

Delete when mmpose imports pycocotools, or xtcocotools has wheels for the supported Pythons and numpy 2.
"""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGE = 'xtcocotools'


def install():
    """Register the replacement, whose modules are only imported when they are needed."""
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
