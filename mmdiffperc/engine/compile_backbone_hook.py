"""Train and test with a backbone that is compiled as one graph."""

from typing import Literal

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.engine.check_finite_hook import unwrap
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import Text, validated

Mode = Literal['default', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs']


@HOOKS.register_module()
@validated
class CompileBackboneHook(Hook):
    """Compile the whole backbone with ``torch.compile`` before training or testing.

    This takes minutes, where :class:`CompileBlocksHook` needs a fraction of them. It is for CUDA graphs, which
    ``mode='reduce-overhead'`` records: a GPU then starts the whole forward pass at once instead of one kernel after
    another, which pays off for small batches. All batches must have one shape. The names of weights do not change.

    Args:
        backend (str): Backend of ``torch.compile``. Defaults to ``'inductor'``, which needs a C++ compiler.
        mode (str, optional): Mode of the backend. Default: the backend's.

    Raises:
        ValueError: Before running: the model has no ``DiffusionUNet``.
    """

    def __init__(self, backend: Text = 'inductor', mode: Mode | None = None):
        self.options = dict(backend=backend, mode=mode, fullgraph=True)

    def before_run(self, runner: Runner):
        """Compile the backbone. It is translated when it first runs."""
        model = unwrap(runner.model)
        backbones = [module for module in model.modules() if isinstance(module, DiffusionUNet)]
        if not backbones:
            raise ValueError(
                f'CompileBackboneHook: {type(model).__name__} has no DiffusionUNet; expected a model with this '
                'backbone. CompileBlocksHook also compiles other networks of diffusers'
            )
        for backbone in backbones:
            backbone.compile(**self.options)
