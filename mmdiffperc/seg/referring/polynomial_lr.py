"""Learning rate of VPD's referring segmentation."""

from mmengine.optim import PolyLR
from mmseg.registry import PARAM_SCHEDULERS

from mmdiffperc.validation import validated


@PARAM_SCHEDULERS.register_module()
@validated
class PolynomialLR(PolyLR):
    """Decay the learning rate by ``(1 - i / N) ** power`` in iteration ``i`` of ``N``, as PyTorch's ``PolynomialLR``.

    The official code of LAVT and `VPD <https://arxiv.org/abs/2303.02153>`_ uses it. The rate of the last iteration is
    ``(1 / N) ** power`` of the first one. mmengine's ``PolyLR`` reaches its minimum in the last iteration, because it
    divides by ``N - 1``.

    Args:
        *args: Arguments of mmengine's ``PolyLR``.
        **kwargs: Arguments of mmengine's ``PolyLR``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.total_iters += 1
