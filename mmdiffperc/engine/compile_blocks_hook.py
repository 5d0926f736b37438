"""Train and test with compiled blocks."""

from typing import Literal

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.engine.check_finite_hook import unwrap
from mmdiffperc.models.compilation import compile_blocks
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import Text, validated

# The other modes record CUDA graphs, which overwrite the outputs of a block when the next block runs.
Mode = Literal['default', 'max-autotune-no-cudagraphs']


@HOOKS.register_module()
@validated
class CompileBlocksHook(Hook):
    """Compile the blocks of the U-Net and of the autoencoder before training or testing, see :func:`.compile_blocks`.

    mmengine's ``compile=True`` compiles the whole model instead, which takes minutes. Do not set both. The names of
    weights in checkpoints do not change.

    Args:
        backend (str): Backend of ``torch.compile``. Defaults to ``'inductor'``, which needs a C++ compiler.
        mode (str, optional): Mode of the backend: ``'max-autotune-no-cudagraphs'`` compiles longer for faster code. For
            CUDA graphs, see :class:`CompileBackboneHook`. Default: the backend's.
        dynamic (bool, optional): True compiles each block once for images of all sizes, False for every size. Default:
            for one size, and for all sizes as soon as there is a second one.

    Raises:
        ValueError: Before running: the model has no block to compile.
    """

    def __init__(self, backend: Text = 'inductor', mode: Mode | None = None, dynamic: bool | None = None):
        self.options = dict(backend=backend, mode=mode, dynamic=dynamic)

    def before_run(self, runner: Runner):
        """Compile the blocks. They are translated when they first run."""
        number = compile_blocks(unwrap(runner.model), **self.options)
        runner.logger.info(f'CompileBlocksHook: {number} blocks are compiled when they first run')
