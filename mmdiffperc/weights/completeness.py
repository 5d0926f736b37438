"""Checkpoints that would leave a weight random are refused."""

import torch
from mmengine.model import BaseModule


class RefuseIncomplete:
    """Before a checkpoint is loaded into a module: it must leave none of the module's weights at a random value.

    Training initialises first, and may go on from a checkpoint whose prompts or adapter have another shape: mmengine
    logs these and leaves them as they were initialised. Testing does not.

    For ``module.register_load_state_dict_pre_hook``.

    Args:
        advice (str): What the user should check.
        may_lack (str): Beginning of the names of weights that are somebody else's concern.
    """

    def __init__(self, advice: str, may_lack: str):
        self.advice = advice
        self.may_lack = may_lack

    def __call__(self, module: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
        """Look at the names and shapes in the checkpoint.

        Raises:
            RuntimeError: It holds only some of the module's weights; or nothing has initialised them yet, and it holds
                none, or has some in another shape.
        """
        weights = module.state_dict().items()
        expected = {prefix + name: weight.shape for name, weight in weights if not name.startswith(self.may_lack)}
        missing = [name for name in expected if name not in state_dict]
        if missing and (len(missing) < len(expected) or not module.is_init):
            raise RuntimeError(
                f'The checkpoint lacks {len(missing)} of the {len(expected)} weights of {type(module).__name__}, first '
                f'{", ".join(missing[:3])}: they would stay random. {self.advice}'
            )
        other = [name for name in expected if name in state_dict and state_dict[name].shape != expected[name]]
        if other and not module.is_init:
            raise RuntimeError(
                f'The checkpoint has {len(other)} of the {len(expected)} weights of {type(module).__name__} in another '
                f'shape, first {other[0]}: {tuple(state_dict[other[0]].shape)} instead of {tuple(expected[other[0]])}; '
                f'they would stay random. {self.advice}'
            )
