"""Makes ``mmcv.ops`` importable on mmcv-lite, which ships the Python half of the operators but not ``mmcv._ext``.

``mmseg.models`` and ``mmdet.models`` import ``mmcv.ops`` whether or not they use an operator of it. The stand-in
extension answers that import: non-maximum suppression is torchvision's, every other operator raises an error that
names it when it is called. Nothing happens where full mmcv is installed, or no mmcv at all.

Delete when mmcv-lite leaves ``mmcv.ops`` importable, or when mmcv has wheels for the torch versions in use.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType

from torch import Tensor

EXTENSION = 'mmcv._ext'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Non-maximum suppression with the signature of mmcv's compiled operator.

    Args:
        boxes (Tensor): ``(N, 4)`` corners ``x1, y1, x2, y2``.
        scores (Tensor): ``(N,)``.
        iou_threshold (float): A box that overlaps a better one by more than this is dropped.
        offset (int): 0, or 1 where a width is ``x2 - x1 + 1``.

    Returns:
        Tensor: Indices of the kept boxes, best score first.
    """
    # Imported here: torchvision is a dependency of the hosts, not of the core.
    from torchvision.ops import nms as torchvision_nms

    # Moving the far corner by ``offset`` is the same as adding it to every width, height and overlap.
    return torchvision_nms(boxes + boxes.new_tensor([0, 0, offset, offset]), scores, iou_threshold)


def not_compiled() -> str:
    """What ``mmcv.utils.collect_env`` prints for the compiler of the extension."""
    return 'n/a'


class MissingExtension(ModuleType):
    """Stands in for ``mmcv._ext``: has every operator, and those that are not implemented raise when called."""

    nms = staticmethod(nms)
    get_compiler_version = staticmethod(not_compiled)
    get_compiling_cuda_version = staticmethod(not_compiled)

    def __getattr__(self, name: str) -> Callable:
        """Returns a callable that raises; special names stay absent, as on any module without them."""
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(
                f'The operator `{name}` needs the compiled extension of mmcv, and mmcv-lite is installed. '
                'Install full mmcv (`pip uninstall mmcv-lite`, then `pip install mmcv==2.1.0`, which compiles it), '
                'or choose a model that does not use this operator.'
            )

        return missing


def _lacks_extension() -> bool:
    """Whether mmcv is installed without its extension, found out without importing mmcv."""
    if EXTENSION in sys.modules:
        return False
    mmcv = find_spec('mmcv')
    return mmcv is not None and PathFinder.find_spec(EXTENSION, mmcv.submodule_search_locations) is None


def install() -> None:
    """Puts the stand-in in place if, and only if, mmcv-lite is what is installed."""
    if _lacks_extension():
        extension = MissingExtension(EXTENSION)
        # ``pkgutil.find_loader`` reads the spec; a loader of None keeps ``mmengine.mmcv_full_available()`` False.
        extension.__spec__ = ModuleSpec(EXTENSION, None)
        sys.modules[EXTENSION] = extension
