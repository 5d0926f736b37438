"""Resume as if nothing had happened."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import validated


@HOOKS.register_module()
@validated
class RandomStateHook(Hook):
    """Keep the state of torch's random generators in checkpoints, so that a resumed run equals an undisturbed one.

    A resumed iteration-based loop of mmengine runs through the data that were already seen, which brings the random
    states of the data pipeline where they were; dropout and the like draw from torch's generators, which it does not
    restore. In distributed training, where each process has a state of its own, the hook does nothing.
    """

    def __init__(self):
        self._resumed = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict):
        """Add the states to the checkpoint."""
        checkpoint['random_state'] = dict(cpu=torch.get_rng_state(), cuda=torch.cuda.get_rng_state_all())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict):
        """Remember the states of a checkpoint that is resumed from."""
        self._resumed = checkpoint.get('random_state')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None):
        """Restore them when the first batch of a resumed run has been fetched."""
        state, self._resumed = self._resumed, None
        if state and runner.iter > 0 and runner.world_size == 1:
            # mmengine loads checkpoints to the device of the model, but torch takes states from the CPU.
            torch.set_rng_state(state['cpu'].cpu())
            torch.cuda.set_rng_state_all([one.cpu() for one in state['cuda'][: torch.cuda.device_count()]])
