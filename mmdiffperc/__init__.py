"""mmdiffperc: one diffusion U-Net as a perception backbone for the OpenMMLab family.

``custom_imports = dict(imports=['mmdiffperc'])`` in a config is all a host needs: the core classes land in mmengine's
root registries and build by bare name under every scope. The parts for one host (``mmdiffperc.seg``,
``mmdiffperc.pose``, ``mmdiffperc.det``) are imported by name, because each needs its host installed.
"""

import shlex
import sys
from pathlib import Path

from mmdiffperc.version import __version__
from mmdiffperc_cli.shipped import find_shipped

try:
    # ``compat`` comes first: the hosts that the models may touch import only after its shims are in place.
    from mmdiffperc import compat, engine, generative, models
    from mmdiffperc.captions import LoadCaption, NameClasses
    from mmdiffperc.swap import swap_backbone
except Exception as error:  # whatever a broken installation raises
    _doctor = shlex.join([sys.executable, str(Path(__file__).with_name('doctor'))])
    error.add_note(f'mmdiffperc could not be imported. This command says what is missing or broken: {_doctor}')
    raise

__all__ = [
    'LoadCaption',
    'NameClasses',
    '__version__',
    'compat',
    'engine',
    'find_shipped',
    'generative',
    'models',
    'swap_backbone',
]
