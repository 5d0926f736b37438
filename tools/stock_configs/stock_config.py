"""A config of a host, to be tried with the diffusion backbone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StockConfig:
    """A stock config, and what has to be said beside its name.

    Args:
        name (str): Such as ``'mmseg::_base_/models/upernet_r50.py'``.
        options (tuple[tuple[str, object]]): Names and values of arguments of :func:`swap_backbone`.
        note (str): What else there is to say about it.
        size (tuple[int]): Height and width of the images it is tried with.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    note: str = ''
    size: tuple[int, int] = (64, 96)

    @property
    def host(self) -> str:
        """``'mmseg'``, ``'mmdet'`` or ``'mmpose'``."""
        return self.name.partition('::')[0]
