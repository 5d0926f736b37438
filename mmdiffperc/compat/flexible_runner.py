"""Resumes mmengine's ``FlexibleRunner`` from a checkpoint that can be loaded.

It loads before it calls the first hook, so :class:`.SafeCheckpointHook` cannot choose the checkpoint by itself.

Delete together with ``mmdiffperc/compat/latest_checkpoint.py``.
"""

from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner

from mmdiffperc.compat.checkpoint_hook import SafeCheckpointHook


class ResumableFlexibleRunner(FlexibleRunner):
    """mmengine's ``FlexibleRunner``, under the same name in configs and with the same arguments."""

    def load_or_resume(self) -> None:
        """Load or resume a checkpoint; the newest one must be whole."""
        for hook in self.hooks:
            if isinstance(hook, SafeCheckpointHook):
                hook.choose_checkpoint(self)
        super().load_or_resume()


def install() -> None:
    """Registers the runner in place of mmengine's."""
    RUNNERS.register_module(name='FlexibleRunner', module=ResumableFlexibleRunner, force=True)
