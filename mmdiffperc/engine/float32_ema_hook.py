"""Average weights that are stored in bfloat16."""

from typing import Annotated

import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from pydantic import Field

from mmdiffperc.registry import HOOKS, MODELS
from mmdiffperc.validation import Expected, NonNegativeInt, PositiveInt, validated

Momentum = Annotated[float, Field(gt=0, lt=1), Expected('a number between 0 and 1')]


@MODELS.register_module()
@validated
class Float32ExponentialMovingAverage(ExponentialMovingAverage):
    """mmengine's ``ExponentialMovingAverage``, except that the model's weights may have another type than the average.

    A bfloat16 average would stand still: it differs from its next value by less than the distance of two numbers.
    """

    def avg_func(self, averaged_param: torch.Tensor, source_param: torch.Tensor, steps: int):
        """Move the average of a parameter towards the parameter."""
        averaged_param.lerp_(source_param.to(averaged_param), self.momentum)


@HOOKS.register_module()
@validated
class Float32EMAHook(EMAHook):
    """Average weights in float32 while ``bfloat16_weights`` of :class:`.LowMemoryOptimWrapper` trains them in bfloat16.

    mmengine's ``EMAHook`` stops in this case, because the types differ. Validation uses the float32 average, and
    checkpoints hold it. The average takes the memory of a float32 model.

    Args:
        momentum (float): Weight of the new value in the average. Defaults to 0.0002.
        interval (int): Iterations between two updates of the average. Defaults to 1.
        update_buffers (bool): Average buffers as well. Defaults to False.
        begin_iter (int): Start to average after this iteration. Defaults to 0.
        begin_epoch (int): Start to average after this epoch. Defaults to 0.
    """

    def __init__(
        self,
        momentum: Momentum = 0.0002,
        interval: PositiveInt = 1,
        update_buffers: bool = False,
        begin_iter: NonNegativeInt = 0,
        begin_epoch: NonNegativeInt = 0,
    ):
        super().__init__(
            ema_type='Float32ExponentialMovingAverage',
            begin_iter=begin_iter,
            begin_epoch=begin_epoch,
            momentum=momentum,
            interval=interval,
            update_buffers=update_buffers,
        )

    def _swap_ema_parameters(self):
        """Swap the tensors themselves: copying the average into the model would round it."""
        for average, parameter in zip(self.ema_model.module.parameters(), self.src_model.parameters(), strict=True):
            average.data, parameter.data = parameter.data, average.data
        if self.ema_model.update_buffers:
            for average, buffer in zip(self.ema_model.module.buffers(), self.src_model.buffers(), strict=True):
                average.data, buffer.data = buffer.data, average.data
