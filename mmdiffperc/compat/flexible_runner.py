"""Save checkpoints of mmengine's ``FlexibleRunner`` atomically, and resume from a whole one.

The runner ignores the backend that :class:`.SafeCheckpointHook` chooses for writing, and loads before it calls the
first hook, so the hook cannot do either by itself.

Delete together with ``mmdiffperc/compat/checkpoint_hook.py``.
"""

from pathlib import Path
from typing import Any

from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner

from mmdiffperc.files import whole_file

from .checkpoint_hook import SafeCheckpointHook


class SafeFlexibleRunner(FlexibleRunner):
    """mmengine's ``FlexibleRunner``, with the same name in configs and the same arguments, which loses nothing.

    Sharded checkpoints, which are folders that several processes write, are saved as before.
    """

    def load_or_resume(self) -> None:
        """Load or resume from a checkpoint, or from the newest whole one."""
        for hook in self.hooks:
            if isinstance(hook, SafeCheckpointHook):
                hook.choose_checkpoint(self)
        super().load_or_resume()

    def val(self) -> dict:
        """Validate; weights that a checkpoint lacks are not initialised first."""
        self._leave_weights_to_checkpoint()
        return super().val()

    def test(self) -> dict:
        """Test; weights that a checkpoint lacks are not initialised first."""
        self._leave_weights_to_checkpoint()
        return super().test()

    def _leave_weights_to_checkpoint(self) -> None:
        # What is initialised counts as deliberate, and a head that the checkpoint lacks would predict noise: see
        # mmdiffperc.models.checks.complete_model. Sharding needs initialised weights.
        if self._load_from and type(self.strategy) in (SingleDeviceStrategy, DDPStrategy):
            self.cfg.setdefault('init_weights_for_test_or_val', False)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; a local file appears under its name once it is complete."""
        if not is_main_process() or not self._saves_a_file(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with whole_file(Path(out_dir, filename)) as partial:
            super().save_checkpoint(str(partial.parent), partial.name, *args, **kwargs)

    def _saves_a_file(self, out_dir: str) -> bool:
        # DeepSpeed and ColossalAI always save folders, FSDP does unless its state is gathered.
        gathered = getattr(self.strategy, '_is_full_state_dict', lambda: True)()
        is_local = isinstance(get_file_backend(out_dir), LocalBackend)
        return is_local and gathered and isinstance(self.strategy, SingleDeviceStrategy)


def install() -> None:
    """Register the runner under the name of mmengine's."""
    RUNNERS.register_module(name='FlexibleRunner', module=SafeFlexibleRunner, force=True)
