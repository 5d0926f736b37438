"""Put the diffusion backbone into any config of a host."""

from collections.abc import Sequence
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import get_installed_path, import_modules_from_strings

from mmdiffperc.files import brief
from mmdiffperc.models.layers import feature_table

from .channels import heads_of, read_by_heads, set_head_channels, set_neck_channels
from .features import Feature, backbone_features, build_empty, neck_features
from .levels import choose_levels, replace_unread
from .settings import drop_layer_decay, drop_old_weights, import_names, set_imports, set_preprocessor

WEIGHTS = {
    'sd1-4': 'CompVis/stable-diffusion-v1-4',
    'sd1-5': 'stable-diffusion-v1-5/stable-diffusion-v1-5',
    'sd2-1': None,  # there are many copies, and no official one
}
# What a backbone raises that needs a package, an operator or an argument that is not there.
CANNOT_RUN = (ImportError, KeyError, TypeError, NotImplementedError, RuntimeError)
TIED_PART = 'shared_head'  # the last stage of a ResNet, in heads without a neck


def swap_backbone(
    config: Config | str | Path,
    strides: Sequence[int] | None = None,
    scope: str | None = None,
    arch: str = 'sd1-5',
    **backbone,
) -> Config:
    """Put :class:`.DiffusionUNet` in the place of a config's backbone.

    Neck and heads get as many features as from the old backbone, and of the same strides, so that anchors, sizes of
    heatmaps and whatever else was made for them stays right: each is a level of the U-Net, resized if need be, see
    :func:`.choose_levels`. What differs is the number of channels, so the ``in_channels`` of neck and heads is set.
    Also changed is what else spoke of the old backbone: normalisation of the images, weights, imports, learning rates
    by layer.

    Args:
        config (Config | str | Path): A config of mmseg, mmdet or mmpose, its file, or its name, such as
            ``'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'`` or ``'mmseg::_base_/models/upernet_r50.py'``.
        strides (Sequence[int], optional): The stride of each feature. Default: those of the old backbone, which is
            built to find them. The native ones of Stable Diffusion are ``(8, 16, 32, 64)``.
        scope (str, optional): The host, which is ``default_scope`` of the config or in front of its name by default.
        arch (str): As in :class:`.DiffusionUNet`. Defaults to ``'sd1-5'``.
        **backbone: Further arguments of :class:`.DiffusionUNet`. By default, ``init_cfg`` names the published weights
            (those in ``arch`` if that is a folder), and ``out_indices`` and ``out_strides`` follow from ``strides``.

    Returns:
        Config: A new config, of which ``Config.dump`` makes a file; the given one stays as it is.

    Raises:
        ValueError: The host is unknown; there is no backbone; its heads read more than feature maps, or a neck or head
            cannot take them. The old backbone does not run here, and no ``strides`` are given. Nothing says where the
            weights of ``arch`` are.
    """
    cfg = deepcopy(config) if isinstance(config, Config) else _read_file(config)
    scope = scope or _scope_of(cfg, config)
    _check_backbone(cfg.get('model') or {})
    import_module(f'{scope}.models')
    import_modules_from_strings(import_names(cfg), allow_failed_imports=True)
    old_features = _features_given(cfg.model, strides) if strides else _features_of(cfg.model, scope)
    strides = replace_unread([feature.stride for feature in old_features], _read(cfg.model, old_features, scope))
    old = cfg.model.backbone.type
    set_preprocessor(cfg)
    drop_old_weights(cfg)
    drop_layer_decay(cfg)
    cfg.model.backbone, features = _new_backbone(strides, scope, dict(arch=arch, **backbone))
    _set_channels(cfg.model, features, scope)
    set_imports(cfg, old)
    return cfg


def _read_file(name: str | Path) -> Config:
    """A config by its file, or by the name of a package and its file there; nothing is imported yet."""
    package, separator, path = str(name).rpartition('::')
    if separator and (not package or find_spec(package) is None):
        raise ValueError(f'{brief(str(name))}: expected a config of a package that is installed, as mmseg::pspnet/...')
    file = Path(get_installed_path(package), '.mim', 'configs', path) if separator else name
    return Config.fromfile(file, import_custom_modules=False)


def _scope_of(cfg, name) -> str:
    scope = cfg.get('default_scope') or (str(name).rpartition('::')[0] if not isinstance(name, Config) else '')
    if not scope:
        raise ValueError("The config does not tell its host: set its default_scope, or give one, such as scope='mmseg'")
    return scope


def _check_backbone(model):
    if not isinstance(model.get('backbone'), dict):
        raise ValueError(
            f'{model.get("type", "The model")} has no `backbone`, only {", ".join(model)}: expected a model with a '
            'backbone, perhaps a neck, and heads'
        )
    if not isinstance(model.backbone.get('type'), str):
        raise ValueError(
            f'The type of the backbone is {model.backbone.get("type")!r}: expected a name. A config of the new style, '
            'whose types are classes, cannot be swapped: take the one of the old style'
        )
    for head in heads_of(model):
        if isinstance(part := head.get(TIED_PART), dict):
            raise ValueError(
                f'{head["type"]} cannot read another backbone: its {part["type"]} is the last stage of a '
                f'{model.backbone["type"]}. Choose a config with a neck'
            )


def _features_of(model, scope) -> tuple[Feature, ...]:
    """What the old backbone puts out."""
    try:
        return backbone_features(deepcopy(model.backbone), scope)
    except ValueError as error:
        heads = ', '.join(head['type'] for head in heads_of(model))
        raise ValueError(f'{heads} cannot read another backbone: {error}') from error
    except CANNOT_RUN as error:
        raise ValueError(
            f'Cannot run {model.backbone["type"]} to find the strides of its features ({error}): give them, such as '
            'strides=(4, 8, 16, 32)'
        ) from error


def _features_given(model, strides) -> list[Feature]:
    """Features of the strides, with the channels that the first neck expects."""
    first = next(iter(_necks(model)), {}).get('in_channels')
    channels = first if isinstance(first, (list, tuple)) and len(first) == len(strides) else [first or 1] * len(strides)
    return list(map(Feature, channels, strides))


def _necks(model) -> list[dict]:
    neck = model.get('neck') or []
    return neck if isinstance(neck, (list, tuple)) else [neck]


def _read(model, features, scope) -> set[int]:
    """The features that, behind the necks, are read by heads."""
    sources = []
    for neck in _necks(model):
        features, of_neck = neck_features(deepcopy(neck), scope, features)
        sources.append(of_neck)
    read = read_by_heads(model, len(features))
    for of_neck in reversed(sources):
        read = set().union(*(of_neck[index] for index in read))
    return read


def _new_backbone(strides, scope, options) -> tuple[dict, tuple[Feature, ...]]:
    """The config of the new backbone, and what it puts out."""
    config = dict(type='DiffusionUNet', **options)
    plain = build_empty(dict(type='DiffusionUNet', arch=config['arch'], out_indices=(0,)), scope)
    levels = feature_table(plain.unet.config, plain.autoencoder.stride)
    config.setdefault('out_indices', choose_levels(strides, [level.stride for level in levels]))
    if [levels[index].stride for index in config['out_indices']] != list(strides):
        config.setdefault('out_strides', tuple(strides))
    built = build_empty(config, scope)
    if 'init_cfg' not in config:
        config['init_cfg'] = _published_weights(config['arch'])
    return config, tuple(map(Feature, built.out_channels, built.out_strides))


def _published_weights(arch) -> dict:
    checkpoint = WEIGHTS.get(arch, arch)
    if checkpoint is None:
        raise ValueError(f"arch={arch!r}: say where its weights are, init_cfg=dict(type='Pretrained', checkpoint=...)")
    return dict(type='Pretrained', checkpoint=checkpoint)


def _set_channels(model, features, scope):
    """Let what follows the backbone take its features."""
    for neck in _necks(model):
        set_neck_channels(neck, features)
        features, _ = neck_features(deepcopy(neck), scope, features)
    set_head_channels(model, features)
