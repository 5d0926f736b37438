"""The registries of the core classes, and how a config finds a data set.

Core classes go into mmengine's *root* registries, so a bare name builds under every host's scope once the package is
imported. Each root also gets an empty child of scope ``mmdiffperc``: through it ``type='mmdiffperc.DiffusionUNet'``
imports the package on its own, from any host.
"""

from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    STRATEGIES,
    TRANSFORMS,
    Registry,
)

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'STRATEGIES',
    'TRANSFORMS',
]

for _root in (
    DATASETS,
    DATA_SAMPLERS,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    STRATEGIES,
    TRANSFORMS,
):
    # ``locations`` may only name core modules: a look-up must never need a host that is not installed.
    Registry(_root.name, parent=_root, scope='mmdiffperc', locations=['mmdiffperc.models'])


def find_dataset(name: str, scope: str | None = None) -> type | None:
    """Return the data set with a name from a config, or None if it does not exist.

    A name without a dot must be registered. ``Registry.get`` would import a module with that name, whether it belongs
    to the standard library, such as ``wave``, or is a file beside the script.

    Args:
        name (str): Name of a registered class, with or without its scope, or the dotted path of a class.
        scope (str, optional): Scope of the host to search. Default: the current one.

    Raises:
        ValueError: The module of a dotted path cannot be imported.
    """
    with DATASETS.switch_scope_and_registry(scope) as registry:
        if is_dotted(name):
            try:
                return registry.get(name)
            except RuntimeError as error:  # raised by mmengine for whatever the import raises
                raise ValueError(f'{name} cannot be imported: {error.__context__}') from error
        registry.import_from_location()
    while registry is not None and name not in registry.module_dict:
        registry = registry.parent
    return registry and registry.module_dict[name]


def is_dotted(name: str) -> bool:
    """Return whether a name is the path of an object in Python, such as ``'mmseg.ADE20KDataset'``."""
    return '.' in name and all(part.isidentifier() for part in name.split('.'))


def class_name(kind: str | type) -> str:
    """Return the name of the class for a type in a config: a name with or without scope, an import path, or a class."""
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def is_pretrained(init_cfg: dict) -> bool:
    """Return whether an ``init_cfg`` has the type ``'Pretrained'``, or the class that mmengine registers so."""
    return class_name(init_cfg.get('type') or '') in ('Pretrained', 'PretrainedInit')
