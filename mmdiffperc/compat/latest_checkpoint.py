"""Finds the checkpoint to resume from, whatever the training before was interrupted at.

mmengine keeps the path of the newest checkpoint in a file, ``last_checkpoint``, which it writes in place. After a kill
at the wrong moment the file is empty; it may also name a checkpoint that was removed, is damaged, or belongs to the
folder that this one was copied from. mmengine then fails to resume though whole checkpoints are there.

Delete when mmengine's ``find_latest_checkpoint`` returns a checkpoint that can be loaded.
"""

from logging import Logger
from pathlib import Path

from mmdiffperc.files import brief, whole_file

from .checkpoint_folder import CheckpointFolder

POINTER = 'last_checkpoint'


def record_checkpoint(work_dir: str | Path, checkpoint: str) -> None:
    """Note in ``work_dir`` which checkpoint is the newest, in one step."""
    with whole_file(Path(work_dir, POINTER)) as partial:
        partial.write_text(checkpoint)


def recorded_checkpoint(work_dir: str | Path) -> str | None:
    """Return the checkpoint noted in ``work_dir``: empty if the note is, None if there is none."""
    pointer = Path(work_dir, POINTER)
    # A power cut can leave a file of zeros.
    return pointer.read_text(errors='replace').strip('\0 \n') if pointer.is_file() else None


def latest_checkpoint(work_dir: str | Path, folder: CheckpointFolder, logger: Logger) -> str | None:
    """Return the recorded checkpoint if it can be resumed from, else the newest one in the folder that can.

    In a copied folder, the record names a file in the folder that it was copied from. The folder's own checkpoints come
    first then.

    Args:
        work_dir (str | Path): The work folder of the training.
        folder (CheckpointFolder): Where it saves its checkpoints.
        logger (Logger): Gets a warning if another checkpoint than the recorded one is returned.

    Returns:
        str | None: A path, or None if there is neither a record nor a checkpoint.

    Raises:
        RuntimeError: There is no whole checkpoint.
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
        f'`load_from`, or start from the beginning by training without `resume`.'
    )


def _explain(work_dir, recorded, unusable):
    record = 'is missing' if recorded is None else f'names {brief(recorded)}' if recorded else 'is empty'
    reasons = ''.join(f' {brief(path)} cannot be used: {reason}.' for path, reason in unusable.items() if reason)
    return f'{Path(work_dir, POINTER)} {record}.{reasons}'
