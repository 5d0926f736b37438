"""Where the core classes are registered, and how a config finds them.

Core classes go into mmengine's *root* registries, so a bare name builds under every host's scope once the package is
imported. Each root also gets an empty child of scope ``mmdiffperc``: through it ``type='mmdiffperc.DiffusionUNet'``
imports the package by itself, from any host.
"""

from mmengine.registry import (
    DATASETS,
    FUNCTIONS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
    Registry,
)

__all__ = ['DATASETS', 'FUNCTIONS', 'HOOKS', 'METRICS', 'MODELS', 'OPTIM_WRAPPER_CONSTRUCTORS', 'TRANSFORMS']

for _root in (DATASETS, FUNCTIONS, HOOKS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS):
    # Only core modules may stand in ``locations``: a look-up must never need a host that is not installed.
    Registry(_root.name, parent=_root, scope='mmdiffperc', locations=['mmdiffperc.models'])
