"""Predict several kinds of targets, one after another."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from .target_inferencer import TargetInferencer, base_of

CHECKPOINT_SUFFIX = '.pth'


class MultiTargetInferencer:
    """Predict several kinds of targets, where adapters on the same Stable Diffusion share it.

    Nothing is loaded before :meth:`select` asks for it, and what that gives holds until the next task is selected.

    Args:
        tasks (Mapping[str, tuple]): Of each task, by its name, a config and what was trained with it: an adapter, see
            :func:`mmdiffperc.models.lora.load_lora`, or a checkpoint, whose name ends in ``.pth``. Adapters share a
            Stable Diffusion if their configs have the same ``arch`` and ``init_cfg``; each checkpoint has its own.
        size (int, optional): See :class:`TargetInferencer`, as for all below.
        precision (str): Defaults to ``'fp32'``.
        device (str, optional): Default: a GPU, if there is one.
        **options: Arguments of the models that differ from those in the configs.

    Raises:
        FileNotFoundError: There is no such config.
    """

    def __init__(
        self,
        tasks: Mapping[str, tuple[str | Path | Config, str | Path]],
        size: int | None = None,
        precision: str = 'fp32',
        device: str | None = None,
        **options,
    ):
        self.tasks = {
            name: (config if isinstance(config, Config) else Config.fromfile(config), trained)
            for name, (config, trained) in tasks.items()
        }
        self.settings = dict(size=size, precision=precision, device=device)
        self.options = options
        self._loaded = {}  # Stable Diffusion -> its inferencer
        self._selected = {}  # Stable Diffusion -> the task to which that is set

    def select(self, name: str) -> TargetInferencer:
        """The inferencer of a task, ready to be called.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError: There is no such task.
            RuntimeError: A file is damaged, or the checkpoint of another model.
            ValueError: See :class:`TargetInferencer`.
        """
        config, trained = self.tasks[name]
        is_checkpoint = Path(trained).suffix == CHECKPOINT_SUFFIX
        base = ('checkpoint', name) if is_checkpoint else ('adapter', str(base_of(config.model | self.options)))
        if base not in self._loaded:
            source = {'checkpoint' if is_checkpoint else 'lora': trained}
            self._loaded[base] = TargetInferencer(config, **source, **self.settings, **self.options)
        elif self._selected[base] != name:
            self._loaded[base].switch(config, trained, **self.options)
        self._selected[base] = name
        return self._loaded[base]
