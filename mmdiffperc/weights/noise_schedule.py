"""The noise schedule of an architecture."""

from collections.abc import Mapping
from pathlib import Path

from diffusers import DDIMScheduler

from mmdiffperc.files import read_json

from .architectures import arch_folder

SCHEDULE = 'scheduler/scheduler_config.json'


def load_schedule(arch: str | Path, default: Mapping | None = None, **options) -> DDIMScheduler:
    """Load the noise schedule of an architecture, for DDIM.

    Args:
        arch (str | Path): See :func:`.arch_folder`.
        default (Mapping, optional): Arguments of ``diffusers.DDIMScheduler`` for what its file does not say.
        **options: Arguments of ``diffusers.DDIMScheduler`` that replace its values, such as
            ``timestep_spacing='trailing'``.

    Raises:
        ValueError: ``arch`` is a folder without a schedule, or with a damaged one.
    """
    path = arch_folder(arch) / SCHEDULE
    if not path.is_file():
        raise ValueError(f'The arch folder {str(arch)!r} has no {SCHEDULE}: copy it from the same Stable Diffusion')
    return DDIMScheduler.from_config(dict(default or {}, **read_json(path)), **options)
