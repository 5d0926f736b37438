"""Resumes a training that was sharded by FSDP.

mmengine hands the optimizer's state to ``FSDP.optim_state_dict_to_load`` in the order of torch 2.0. Since torch 2.1 the
model comes first, and resuming ends with a ``TypeError``.

Delete when mmengine's ``FSDPStrategy.load_optim_state_dict`` passes its arguments by name.
"""

from mmengine._strategy import FSDPStrategy
from mmengine.registry import STRATEGIES
from torch.distributed.fsdp import FullyShardedDataParallel


class ResumableFSDPStrategy(FSDPStrategy):
    """mmengine's ``FSDPStrategy``, under the same name in configs and with the same arguments, that can resume."""

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state from one that ``optim_state_dict`` returned."""
        sharded = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=self.optim_wrapper.optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(sharded)


def install() -> None:
    """Register the strategy in place of mmengine's."""
    STRATEGIES.register_module(name='FSDPStrategy', module=ResumableFSDPStrategy, force=True)
