"""mmdiffperc: one diffusion U-Net as a perception backbone for the OpenMMLab family.

``custom_imports = dict(imports=['mmdiffperc'])`` in a config is all a host needs: the core classes land in mmengine's
root registries and build by bare name under every scope. The parts for one host (``mmdiffperc.seg``,
``mmdiffperc.pose``, ``mmdiffperc.det``) are imported by name, because each needs its host installed.
"""

# ``compat`` comes first: the hosts that the models may touch import only after its shims are in place.
from mmdiffperc import compat, datasets, evaluation, hooks, models, optim
from mmdiffperc.swap import swap_backbone
from mmdiffperc.version import __version__

__all__ = ['__version__', 'compat', 'datasets', 'evaluation', 'hooks', 'models', 'optim', 'swap_backbone']
