"""The folder in which a training run saves its checkpoints, and the one to resume from.

A checkpoint names others, which mmengine's ``CheckpointHook`` removes as outdated. In a copied work folder these are
the original's, and in a file from a stranger they may be anything. :class:`CheckpointFolder` distinguishes a run's
own checkpoints from everything else.

mmengine overwrites the file ``last_checkpoint`` with the path of the newest checkpoint. If the training is killed at
that moment, the file is empty. It may also name a checkpoint that was removed, is damaged, or belongs to the folder
from which this one was copied. mmengine then fails to resume although whole checkpoints exist.

Delete together with ``mmdiffperc/compat/checkpoint_hook.py``, and when mmengine's ``find_latest_checkpoint`` returns a
checkpoint that can be loaded.
"""

import os
import pickle
import re
from logging import Logger
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend

from mmdiffperc.files import brief, whole_file

from .checkpoint import checked_checkpoint, find_damage, load_file, verified
from .sharded_checkpoint import is_sharded, read_state

POINTER = 'last_checkpoint'


class CheckpointFolder:
    """Distinguish a training run's own checkpoints from everything else.

    Args:
        backend (Any): mmengine's storage backend of the folder.
        path (str): The folder: a local one, or the beginning of a URI such as ``'s3://bucket/run'``.
        template (str): The file name of a checkpoint, such as ``'epoch_{}.pth'``.
    """

    def __init__(self, backend: Any, path: str, template: str) -> None:
        self.backend = backend
        self.path = str(path)
        self.is_local = isinstance(getattr(backend, 'client', backend), LocalBackend)
        self._template = template
        name = re.sub(r'\\\{.*?\\\}', r'(\\d+)', re.escape(template))
        self._name = re.compile(name)
        self._best_name = re.compile(f'best_[^/]+_{name.replace("/", "_")}')

    def path_of(self, step: int) -> str:
        """Return the path of the checkpoint that is saved after this many epochs or iterations."""
        return self.backend.join_path(self.path, self._template.format(step))

    def owns(self, path: Any) -> bool:
        """Return whether ``path`` names a checkpoint in this folder, after following ``..`` and links."""
        if not isinstance(path, str) or '\0' in path:
            return False
        folder, file = f'{self._resolve(self.path)}/', self._resolve(path)
        name = file.removeprefix(folder)
        return name != file and bool(self._name.fullmatch(name) or self._best_name.fullmatch(name))

    def own(self, path: Any) -> str | None:
        """Return ``path`` if it is in this folder, or else the checkpoint of the same name here, or else None."""
        if self.owns(path):
            return path
        namesake = self.backend.join_path(self.path, re.split(r'[/\\]', str(path))[-1])
        return namesake if self.owns(namesake) and self.backend.exists(namesake) else None

    def newest_first(self) -> list[str]:
        """Return the checkpoints from which a training run can resume, sorted by the steps in their names."""
        if not self.backend.isdir(self.path):
            return []
        files = self.backend.list_dir_or_file(self.path, recursive='/' in self._name.pattern)
        matches = filter(None, map(self._name.fullmatch, files))
        ordered = sorted(matches, key=lambda match: int(''.join(match.groups()) or 0), reverse=True)
        return [self.backend.join_path(self.path, match[0]) for match in ordered]

    def find_damage(self, path: str) -> str | None:
        """Return what is wrong with a checkpoint of this folder, or None if it is whole.

        Only the existence of a remote checkpoint is checked, because it would have to be downloaded twice.
        """
        if not self.backend.exists(path):
            return 'the file does not exist'
        if not self.is_local:
            return None
        if not self.backend.isdir(path) or is_sharded(path):
            return find_fault(path)
        shards = sorted(Path(path).rglob('*.pt*'))
        return next(filter(None, map(find_damage, shards)), None) if shards else 'the folder is empty'

    def _resolve(self, path):
        return Path(os.path.realpath(path)).as_posix() if self.is_local else path.rstrip('/')


def find_fault(path: str) -> str | None:
    """Return why a training run could not resume from a local file or sharded folder, or None if it could."""
    try:
        if is_sharded(path):
            content, _ = read_state(path, load_file)
        else:
            with verified(path):
                content = checked_checkpoint(load_file(path, mmap=True), path)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        return f'{type(error).__name__}: {brief(str(error), 300)}'
    meta = content.get('meta', {}) if isinstance(content, dict) else {}
    missing = [name for name in ('epoch', 'iter') if name not in meta]
    return f'its meta has no {" and no ".join(missing)}' if missing else None


def record_checkpoint(work_dir: str | Path, checkpoint: str) -> None:
    """Record the newest checkpoint in ``work_dir`` atomically."""
    with whole_file(Path(work_dir, POINTER)) as partial:
        partial.write_text(checkpoint)


def recorded_checkpoint(work_dir: str | Path) -> str | None:
    """Return the checkpoint recorded in ``work_dir``: empty if the record is empty, None if it does not exist."""
    pointer = Path(work_dir, POINTER)
    # A power cut can leave a file of zeros.
    return pointer.read_text(errors='replace').strip('\0 \n') if pointer.is_file() else None


def latest_checkpoint(work_dir: str | Path, folder: CheckpointFolder, logger: Logger) -> str | None:
    """Return the recorded checkpoint if a training run can resume from it, or else the newest one in the folder.

    In a copied folder, the record names a file of the original folder; the folder's own checkpoints then come first.

    Args:
        work_dir (str | Path): The work folder of the training.
        folder (CheckpointFolder): The folder of its checkpoints.
        logger (Logger): Receives a warning if another checkpoint than the recorded one is returned.

    Returns:
        str | None: A path, or None if neither a record nor a checkpoint exists.

    Raises:
        RuntimeError: No checkpoint is whole.
    """
    recorded = recorded_checkpoint(work_dir)
    own = folder.own(recorded) if recorded else None
    candidates = [own, *folder.newest_first(), recorded] if own or recorded else folder.newest_first()
    unusable = {}
    for checkpoint in dict.fromkeys(filter(None, candidates)):
        unusable[checkpoint] = folder.find_damage(checkpoint)
        if unusable[checkpoint] is None:
            if checkpoint != own:
                logger.warning(f'{_explain(work_dir, recorded, unusable)} Resuming from {checkpoint} instead.')
            return checkpoint
    if recorded is None and not unusable:
        return None
    raise RuntimeError(
        f'{_explain(work_dir, recorded, unusable)} {folder.path} holds no whole checkpoint to resume from. Give one as '
        '`load_from`, or start from the beginning by training without `resume`.'
    )


def _explain(work_dir, recorded, unusable):
    record = 'is missing' if recorded is None else f'names {brief(recorded)}' if recorded else 'is empty'
    reasons = ''.join(f' {brief(path)} cannot be used: {reason}.' for path, reason in unusable.items() if reason)
    return f'{Path(work_dir, POINTER)} {record}.{reasons}'
