"""The folder that one training saves its checkpoints in.

A checkpoint names others, which mmengine's ``CheckpointHook`` removes as outdated. The names are those of the original
where a work folder was copied, and anything at all where the file comes from a stranger. :class:`CheckpointFolder`
tells a training's own checkpoints from everything else.

Delete together with ``mmdiffperc/compat/checkpoint_hook.py``.
"""

import os
import pickle
import re
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend

from mmdiffperc.files import brief

from .checkpoint import checked_checkpoint, load_file
from .checkpoint_integrity import find_damage, verified


class CheckpointFolder:
    """Tell a training's own checkpoints from everything else.

    Args:
        backend (Any): mmengine's storage backend of the folder.
        path (str): The folder: a local one, or the beginning of a URI such as ``'s3://bucket/run'``.
        template (str): The file name of a checkpoint, such as ``'epoch_{}.pth'``.
    """

    def __init__(self, backend: Any, path: str, template: str) -> None:
        self.backend = backend
        self.path = str(path)
        self.is_local = isinstance(getattr(backend, 'client', backend), LocalBackend)
        name = re.sub(r'\\\{.*?\\\}', r'(\\d+)', re.escape(template))
        self._name = re.compile(name)
        self._best_name = re.compile(f'best_[^/]+_{name.replace("/", "_")}')

    def owns(self, path: Any) -> bool:
        """Return whether ``path`` names a checkpoint in this folder once ``..`` and links are followed."""
        if not isinstance(path, str) or '\0' in path:
            return False
        folder, file = f'{self._resolve(self.path)}/', self._resolve(path)
        name = file.removeprefix(folder)
        return name != file and bool(self._name.fullmatch(name) or self._best_name.fullmatch(name))

    def own(self, path: Any) -> str | None:
        """Return ``path`` if it is in this folder, else the checkpoint of the same name that is, else None."""
        if self.owns(path):
            return path
        namesake = self.backend.join_path(self.path, re.split(r'[/\\]', str(path))[-1])
        return namesake if self.owns(namesake) and self.backend.exists(namesake) else None

    def newest_first(self) -> list[str]:
        """Return the checkpoints that training can resume from, in the order of the steps in their names."""
        if not self.backend.isdir(self.path):
            return []
        files = self.backend.list_dir_or_file(self.path, recursive='/' in self._name.pattern)
        matches = filter(None, map(self._name.fullmatch, files))
        ordered = sorted(matches, key=lambda match: int(''.join(match.groups()) or 0), reverse=True)
        return [self.backend.join_path(self.path, match[0]) for match in ordered]

    def find_damage(self, path: str) -> str | None:
        """Return what is wrong with a checkpoint of this folder, or None if it is whole.

        Of a remote checkpoint only the existence is checked, because it would have to be downloaded twice.
        """
        if not self.backend.exists(path):
            return 'there is no such file'
        if not self.is_local:
            return None
        if not self.backend.isdir(path):
            return find_fault(path)
        shards = sorted(Path(path).rglob('*.pt*'))
        return next(filter(None, map(find_damage, shards)), None) if shards else 'the folder is empty'

    def _resolve(self, path):
        return Path(os.path.realpath(path)).as_posix() if self.is_local else path.rstrip('/')


def find_fault(path: str) -> str | None:
    """Return why a training could not resume from a local file, or None if it could."""
    try:
        with verified(path):
            content = checked_checkpoint(load_file(path, mmap=True), path)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        return f'{type(error).__name__}: {brief(str(error), 300)}'
    meta = content.get('meta', {}) if isinstance(content, dict) else {}
    missing = [name for name in ('epoch', 'iter') if name not in meta]
    return f'its meta has no {" and no ".join(missing)}' if missing else None
