"""Learning rate of VPD's depth estimation."""

from mmengine.optim import PolyLR
from mmseg.registry import PARAM_SCHEDULERS

from mmdiffperc.validation import Fraction, validated


@PARAM_SCHEDULERS.register_module()
@validated
class PolyRiseFallLR(PolyLR):
    """Raise the learning rate to its value in the optimizer in the first half, and lower it in the second.

    With ``x`` running from 0 to 1 over each half, ``lr = min + (max - min) * x ** power`` and then
    ``lr = max - (max - min) * x ** power``; afterwards it stays at ``min``. The depth code of
    `VPD <https://arxiv.org/abs/2303.02153>`_ and MetaPrompts uses it. mmengine's ``PolyLR`` cannot
    express it, because its polynomial is ``(1 - x) ** power``.

    Args:
        optimizer (Optimizer or BaseOptimWrapper): Its learning rates are the highest ones.
        min_ratio (float): The lowest learning rate as a fraction of the highest.
        *args: Arguments of mmengine's ``PolyLR``.
        **kwargs: Arguments of mmengine's ``PolyLR``. ``begin`` and ``end`` enclose both halves.
    """

    def __init__(self, optimizer, min_ratio: Fraction, *args, **kwargs):
        self.min_ratio = min_ratio
        super().__init__(optimizer, *args, **kwargs)

    def _get_value(self):
        x = 2 * (self.last_step + 1) / (self.end - self.begin)  # the original counts iterations from 1
        height = x**self.power if x < 1 else 1 - (x - 1) ** self.power
        return [value * (self.min_ratio + (1 - self.min_ratio) * height) for value in self.base_values]
