"""Resume a training run that is sharded by FSDP.

mmengine passes the optimizer state to ``FSDP.optim_state_dict_to_load`` in the argument order of torch 2.0. Since torch
2.1, the model is the first argument, so resuming raises a ``TypeError``.

Delete when mmengine's ``FSDPStrategy.load_optim_state_dict`` passes its arguments by name.
"""

from mmengine._strategy import FSDPStrategy
from mmengine.registry import STRATEGIES
from torch.distributed.fsdp import FullyShardedDataParallel


class ResumableFSDPStrategy(FSDPStrategy):
    """Replace mmengine's ``FSDPStrategy`` under the same name and with the same arguments; it can resume."""

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load an optimizer state that ``optim_state_dict`` returned."""
        sharded = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=self.optim_wrapper.optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(sharded)


def install() -> None:
    """Register the strategy under the name of mmengine's."""
    STRATEGIES.register_module(name='FSDPStrategy', module=ResumableFSDPStrategy, force=True)
