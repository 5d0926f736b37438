"""Convert configs of mmengine's new style, whose types are imported classes, to the classic style with names."""

from collections.abc import Callable
from importlib import import_module

import mmengine.registry
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import Registry

OPERATORS = 'mmcv.ops.'  # these are not registered; the hosts find them by their bare names


def to_classic(cfg: Config, scope: str) -> Config:
    """Return a copy of a config in which every class and function is replaced by its name, as in classic configs.

    Only this form can be changed and dumped safely: mmengine dumps a class as ``'mmdet.models.ResNet'``, but the hosts
    compare types with registered names such as ``'ResNet'``.

    Args:
        cfg (Config): A config of either style.
        scope (str): The host. It becomes the ``default_scope`` if the config sets that to ``None``, because only
            classes need no scope.
    """
    classic = Config(_with_names(cfg._to_lazy_dict(), scope))
    if 'default_scope' in classic:
        classic.default_scope = classic.default_scope or scope
    return classic


def _with_names(value, scope):
    if isinstance(value, dict):
        return {key: _with_names(part, scope) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_names(part, scope) for part in value)
    if isinstance(value, (LazyAttr, LazyObject)):
        try:
            return registered_name(value.build(), scope)
        except ImportError:  # the old backbone may need a package that is missing, which the swapped config does not
            return f'{value.module}.{value}'
    return registered_name(value, scope) if callable(value) else value


def registered_name(found: Callable, scope: str) -> str:
    """Return the name by which a config of a host finds a class or function.

    Args:
        found (Callable): The class or function.
        scope (str): The host.

    Returns:
        str: ``'FPN'`` if that name means this class in the host, otherwise ``'mmdet.FPN'``; for what is not registered,
        its name with the module.
    """
    full_name = f'{found.__module__}.{found.__qualname__}'
    if full_name.startswith(OPERATORS):
        return found.__name__
    for root in (*_registries(mmengine.registry), *_registries(import_module(f'{scope}.registry'))):
        host = root.children.get(scope, root)
        for registry in (host, root, *root.children.values()):
            names = (name for name, each in registry.module_dict.items() if each is found)
            if name := next(names, None):
                return name if host.get(name) is found else f'{registry.scope}.{name}'
        replacement = root.module_dict.get(found.__name__)
        if found in getattr(replacement, '__bases__', ()):  # as the checkpoint hook of mmdiffperc
            return found.__name__
    return full_name


def _registries(module) -> list[Registry]:
    return [each for each in vars(module).values() if isinstance(each, Registry)]
