"""Predict several kinds of targets."""

import copy
import threading
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from .target_inferencer import TargetInferencer, base_of

CHECKPOINT_SUFFIX = '.pth'


class MultiTargetInferencer:
    """Predict several kinds of targets, where adapters on the same Stable Diffusion share it.

    Nothing is loaded before :meth:`select` asks for it. Each task keeps its own adapter, so that several threads may
    select and predict different tasks at the same time.

    Args:
        tasks (Mapping[str, tuple]): Of each task, by its name, a config and what was trained with it: an adapter, see
            :func:`.load_lora`, or a checkpoint, whose name ends in ``.pth``. Adapters share a
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
        self._bases = {}  # arch and weights of a Stable Diffusion -> an inferencer on it
        self._inferencers = {}
        self._loading = threading.Lock()

    def select(self, name: str) -> TargetInferencer:
        """Return the inferencer of a task, ready to be called.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError: There is no such task.
            RuntimeError: A file is damaged, or the checkpoint of another model.
            ValueError: See :class:`TargetInferencer`.
        """
        with self._loading:
            if name not in self._inferencers:
                self._inferencers[name] = self._load(*self.tasks[name])
        return self._inferencers[name]

    def _load(self, config, trained) -> TargetInferencer:
        if Path(trained).suffix == CHECKPOINT_SUFFIX:
            return TargetInferencer(config, checkpoint=trained, **self.settings, **self.options)
        base = str(base_of(config.model | self.options))
        if base not in self._bases:
            self._bases[base] = TargetInferencer(config, lora=trained, **self.settings, **self.options)
            return self._bases[base]
        inferencer = copy.copy(self._bases[base])
        inferencer.switch(config, trained, **self.options)
        return inferencer
