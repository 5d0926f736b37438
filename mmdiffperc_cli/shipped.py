"""Files that ship with mmdiffperc: configs, tools, and the weights of the demo."""

import os
from glob import escape
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'mmdiffperc'
# OpenMMLab's mim looks for configs and tools here. In a clone, the entries are links; a wheel holds copies.
MIM = PACKAGE / '.mim'
TOOLS = MIM / 'tools'


def find_shipped(name: str) -> str:
    """Find a file in the current directory, or among the files that ship with mmdiffperc.

    Args:
        name (str): A path relative to the current directory or to the root of a clone, such as
            ``configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py``, or only the file name of a shipped config.

    Returns:
        str: The path, or ``name`` if there is no such file: it may stand for something else, such as a model on the
        hub.
    """
    if os.path.exists(name):
        return name
    candidates = [(PACKAGE.parent if name.startswith('mmdiffperc/') else MIM) / name]
    if name.endswith('.py') and os.path.basename(name) == name:
        candidates += [path for folder in ('configs', 'projects') for path in (MIM / folder).rglob(escape(name))]
    return next((os.path.realpath(path) for path in candidates if os.path.isfile(path)), name)
