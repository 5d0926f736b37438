"""Save and remove checkpoints so that none is lost.

mmengine writes a checkpoint directly under its final name, after removing the outdated one. With ``max_keep_ckpts=1``,
or with ``save_best``, a disk that becomes full in between leaves no checkpoint. mmengine also removes any file or
folder that the resumed checkpoint names as outdated, and replaces a good checkpoint by one whose weights are NaN.

Here a file appears under its name once it is complete, and outdated ones are removed afterwards; the disk needs space
for one more checkpoint, and the hook checks for that space before the training. Only checkpoints in the training's own
folder are removed, and only finite weights are saved. The hook also locks the folder during the training, and finds the
checkpoint to resume from. mmengine's ``FlexibleRunner`` ignores the backend that the hook chooses for writing, and
loads before it calls the first hook, so it has a subclass here.

Delete when mmengine's ``CheckpointHook`` and ``FlexibleRunner`` do all of this, and ``LocalBackend.put`` replaces files
atomically.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.dist import is_main_process
from mmengine.fileio import FileClient, LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner
from torch.nn import Module

from mmdiffperc.files import brief, whole_file
from mmdiffperc.finite import first_non_finite
from mmdiffperc.registry import HOOKS

from .checkpoint_folder import CheckpointFolder, latest_checkpoint, record_checkpoint, recorded_checkpoint
from .training_lock import lock_folder


class AtomicLocalBackend(LocalBackend):
    """Local storage whose files appear under their name once they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; if writing fails, the previous file stays."""
        with whole_file(filepath) as partial:
            partial.write_bytes(obj)


class _DeferredRemoval:
    """A storage backend that records what to remove, and forwards everything else."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, filepath: str) -> None:
        self.outdated.append(filepath)

    rmtree = remove


class SafeCheckpointHook(CheckpointHook):
    """Replace mmengine's ``CheckpointHook`` under the same name and with the same arguments; nothing is lost.

    Remote backends write as before, in the same order of writing and removing.
    """

    _folder: CheckpointFolder
    _progress: dict = {}
    _locks: list = []

    def before_run(self, runner) -> None:
        """Choose a checkpoint that can be loaded if the runner would resume from the newest one."""
        self.choose_checkpoint(runner)

    def choose_checkpoint(self, runner) -> None:
        """Set the checkpoint to resume from, unless the runner was given one or has already loaded it."""
        if runner._resume is True and runner._load_from is None and not runner._has_loaded:
            runner._load_from = latest_checkpoint(runner.work_dir, self._future_folder(runner), runner.logger)

    def before_train(self, runner) -> None:
        """Lock the folders, forget checkpoints of other folders, and write local files atomically.

        Raises:
            OSError: The disk has no space for a checkpoint.
            RuntimeError: Another training writes to one of the folders.
        """
        self._folder = folder = self._future_folder(runner)
        if is_main_process():
            folders = dict.fromkeys([runner.work_dir, folder.path] if folder.is_local else [runner.work_dir])
            self._locks = [lock for lock in map(lock_folder, folders) if lock]
            if folder.is_local and not isinstance(runner, FlexibleRunner):  # which may hold a shard of the model only
                _check_space(folder.path, runner.model)
        _keep_to_own_checkpoints(runner, folder)
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend and self.file_client_args is None:
            self.backend_args = dict(backend='atomic_local')

    def after_run(self, runner) -> None:
        """Release the locks of a training run."""
        for lock in self._locks:
            lock.release(force=True)
        self._locks = []

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse weights that are not finite, and set the right epoch and iteration.

        Raises:
            FloatingPointError: A weight, or its moving average, is NaN or infinite.
        """
        checkpoint['meta'].update(self._progress)
        for part in ('state_dict', 'ema_state_dict'):
            if name := first_non_finite(checkpoint.get(part, {})):
                last = recorded_checkpoint(runner.work_dir)
                raise FloatingPointError(
                    f'{name} in the {part} is NaN or infinite: this training run is lost. No checkpoint was written. '
                    f'{f"Resume from the last finite one, {last}," if last else "Start again"} with a lower learning '
                    'rate or with gradient clipping, and check the images and annotations for NaN.'
                )

    def _future_folder(self, runner) -> CheckpointFolder:
        """Return the folder that ``CheckpointHook.before_train`` will choose."""
        root = runner.work_dir if self.out_dir is None else self.out_dir
        if self.file_client_args is None:
            backend = get_file_backend(root, backend_args=self.backend_args)
        else:
            backend = FileClient.infer_client(self.file_client_args, root)
        path = root if root == runner.work_dir else backend.join_path(root, Path(runner.work_dir).name)
        return CheckpointFolder(backend, path, self.filename_tmpl)

    @contextmanager
    def _removals_last(self) -> Iterator[None]:
        backend = self.file_backend
        self.file_backend = deferred = _DeferredRemoval(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        for path in deferred.outdated:
            self._remove(path)

    def _remove(self, path: str) -> None:
        # A resumed run may write the name that it has just given up: that file is new, not outdated.
        several_best = getattr(self, 'best_ckpt_path_dict', {})
        current = {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *several_best.values()}
        if path in current or not self._folder.owns(path) or not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # sharded
            self.file_backend.rmtree(path)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        """Save and record the new checkpoint, and then remove the outdated one."""
        outdated = self._outdated_by(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        # `FlexibleRunner` takes a checkpoint saved after validation for one of the next epoch, and would skip an epoch.
        self._progress = dict(epoch=step, iter=runner.iter) if self.by_epoch else dict(epoch=runner.epoch, iter=step)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._progress = {}
        if is_main_process():
            record_checkpoint(runner.work_dir, self.last_ckpt)
        for path in outdated:
            self._remove(path)

    def _outdated_by(self, runner, step) -> list[str]:
        """Add ``step`` to the checkpoints to keep, and return those that are no longer kept."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        before = list(self.keep_ckpt_ids)
        self.keep_ckpt_ids.append(step)  # a deque of limited length drops the oldest
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return [self._folder.path_of(old) for old in before if old not in self.keep_ckpt_ids]

    def _save_best_checkpoint(self, runner, metrics) -> None:
        if not hasattr(self, 'file_backend'):
            return  # validation without training
        with self._removals_last():
            super()._save_best_checkpoint(runner, metrics)

    def _publish_model(self, runner, ckpt_path: str) -> None:
        """Publish a checkpoint of this training run, if it has one."""
        if self._folder.owns(ckpt_path):
            super()._publish_model(runner, ckpt_path)


def _check_space(folder: str, model: Module):
    """Raise before the training what would otherwise be raised after its first hours."""
    needed = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f'Expected space for a checkpoint, whose weights alone take {needed / 2**20:,.1f} MiB, but the disk has '
            f'only {free / 2**20:,.1f} MiB left. Free some space, or choose another `work_dir`',
            folder,
        )


def _keep_to_own_checkpoints(runner, folder: CheckpointFolder) -> None:
    """Forget the outdated checkpoints that a resumed checkpoint names and that are not in the folder."""
    info = runner.message_hub.runtime_info
    best = {key: path for key, path in info.items() if str(key).startswith('best_ckpt') and path is not None}
    for key, path in best.items():
        info[key] = folder.own(path)  # a copied folder holds a checkpoint of the same name
        if info[key] != path:
            runner.logger.info(f'{key} is {info[key]}, because {brief(path)} is not a checkpoint in {folder.path}.')
    if 'keep_ckpt_ids' in info:
        steps = info['keep_ckpt_ids'] if isinstance(info['keep_ckpt_ids'], list) else []
        own = [step for step in steps if isinstance(step, int) and folder.owns(folder.path_of(step))]
        info['keep_ckpt_ids'] = own


class SafeFlexibleRunner(FlexibleRunner):
    """Replace mmengine's ``FlexibleRunner`` under the same name and with the same arguments; nothing is lost.

    Sharded checkpoints of mmengine's strategies, which are folders that several processes write, are saved as before.
    """

    def train(self) -> Module:
        """Train; hooks that the strategy cannot have are refused first."""
        if check_hooks := getattr(self.strategy, 'check_hooks', None):
            check_hooks(self.hooks)
        return super().train()

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
    """Register the backend, and the hook and the runner under the names of mmengine's."""
    register_backend('atomic_local', AtomicLocalBackend, force=True)
    HOOKS.register_module(name='CheckpointHook', module=SafeCheckpointHook, force=True)
    RUNNERS.register_module(name='FlexibleRunner', module=SafeFlexibleRunner, force=True)
