"""Checkpoints that would leave a weight random are refused."""

import torch
from mmengine.model import BaseModule


class RefuseIncomplete:
    """Before a checkpoint is loaded into a module: it must leave none of the module's weights at a random value.

    For ``module.register_load_state_dict_pre_hook``.

    Args:
        advice (str): What the user should check.
        may_lack (str): Beginning of the names of weights that are somebody else's concern.
    """

    def __init__(self, advice: str, may_lack: str):
        self.advice = advice
        self.may_lack = may_lack

    def __call__(self, module: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
        """Look at the names in the checkpoint.

        Raises:
            RuntimeError: It holds only some of the module's weights; or none, and nothing has initialised them yet.
        """
        expected = [prefix + name for name in module.state_dict() if not name.startswith(self.may_lack)]
        missing = [name for name in expected if name not in state_dict]
        if missing and (len(missing) < len(expected) or not module.is_init):
            raise RuntimeError(
                f'The checkpoint lacks {len(missing)} of the {len(expected)} weights of {type(module).__name__}, first '
                f'{", ".join(missing[:3])}: they would stay random. {self.advice}'
            )
