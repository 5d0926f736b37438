"""Saves a checkpoint so that the one before it survives a full disk or a kill.

mmengine writes a checkpoint straight to its final name, and removes the outdated one first. With ``max_keep_ckpts=1``,
or with ``save_best``, a disk that fills up meanwhile leaves no checkpoint at all. Here a file appears under its name
when it is complete, and outdated ones are removed after that; the disk must have room for one checkpoint more.

Delete when mmengine's ``CheckpointHook`` writes before it removes, and ``LocalBackend.put`` replaces files atomically.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from mmdiffperc.registry import HOOKS


class AtomicLocalBackend(LocalBackend):
    """Local files that appear under their name only when they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes beside ``filepath`` and moves the result there; on failure what was there stays."""
        partial = Path(f'{filepath}.partial')
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # some file systems report a full disk only here
            partial.replace(filepath)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


class _DeferredRemoval:
    """A storage backend whose removals wait for :meth:`flush`; everything else goes straight through."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: list[tuple[Callable, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, filepath: str) -> None:
        self._waiting.append((self._backend.remove, filepath))

    def rmtree(self, filepath: str) -> None:
        self._waiting.append((self._backend.rmtree, filepath))

    def flush(self, keep: set[str]) -> None:
        for remove, filepath in self._waiting:
            if filepath not in keep:
                remove(filepath)


class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, under the same name in configs and with the same arguments, that loses nothing.

    Remote backends write as they always did; the order of writing and removing holds for them too.
    """

    def before_train(self, runner) -> None:
        """Chooses atomic writing where checkpoints go to a local folder."""
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend and self.file_client_args is None:
            self.backend_args = dict(backend='atomic_local')

    @contextmanager
    def _removals_last(self) -> Iterator[None]:
        backend = self.file_backend
        self.file_backend = deferred = _DeferredRemoval(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        deferred.flush(keep=self._current_files())

    def _current_files(self) -> set[str]:
        # A resumed run may write the name that it has just given up: that file is new, not outdated.
        several_best = getattr(self, 'best_ckpt_path_dict', {})
        return {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *several_best.values()}

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with self._removals_last():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._removals_last():
            super()._save_best_checkpoint(runner, metrics)


def install() -> None:
    """Registers the backend, and the hook in place of mmengine's."""
    register_backend('atomic_local', AtomicLocalBackend, force=True)
    HOOKS.register_module(name='CheckpointHook', module=SafeCheckpointHook, force=True)
