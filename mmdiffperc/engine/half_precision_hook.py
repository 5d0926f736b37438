"""Test in half precision."""

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.half_precision import HalfType, halve
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import validated


@HOOKS.register_module()
@validated
class HalfPrecisionHook(Hook):
    """Test with the weights of the backbone in half precision, see :func:`.halve`; training and validation do not.

    The neck and the head run in mmengine's autocast, which has no float16 on a CPU; there, they then stay in single
    precision. For one test of any config::

        mim test mmseg CONFIG --checkpoint FILE --cfg-options "custom_hooks=[dict(type='HalfPrecisionHook')]"

    Args:
        dtype (str): ``'bfloat16'`` or ``'float16'``. Defaults to ``'bfloat16'``.
    """

    def __init__(self, dtype: HalfType = 'bfloat16'):
        self.dtype = dtype

    def before_test(self, runner: Runner):
        """Halve the model, which has its weights by now, and turn on the autocast of the test loop."""
        halve(runner.model, self.dtype)
        device, dtype = get_device(), getattr(torch, self.dtype)
        runner.test_loop.fp16 = device != 'cpu' or dtype == torch.bfloat16
        if device != 'cpu':
            torch.set_autocast_dtype(device, dtype)  # mmengine's autocast takes the default of the device
