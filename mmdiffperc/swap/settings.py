"""Other settings that depend on the backbone: weights, imports, normalisation, layer-wise learning rates."""

from mmengine.config import Config

RANGE = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)  # RGB in [-1, 1], as Stable Diffusion was trained
LAYER_DECAY = ('LayerDecay', 'LearningRateDecay')  # in the names of the hosts' constructors, which know few backbones
LAYER_DECAY_OPTIONS = ('num_layers', 'layer_decay_rate', 'decay_rate', 'decay_type')


def set_preprocessor(cfg: Config):
    """Let the data preprocessor convert images to RGB in [-1, 1]."""
    if 'data_preprocessor' not in cfg.model:
        cfg.model.data_preprocessor = dict(cfg.get('data_preprocessor') or {})
    for place in (cfg, cfg.model):
        if 'data_preprocessor' in place:
            place.data_preprocessor.pop('rgb_to_bgr', None)
            place.data_preprocessor.update(RANGE)


def set_imports(cfg: Config, old_backbone: str):
    """Import mmdiffperc first, and remove the import of a package that only the old backbone needed.

    Args:
        cfg (Config): The config with the new backbone, changed in place.
        old_backbone (str): Type of the old one, such as ``'mmpretrain.ConvNeXt'``.
    """
    unused = {_package(old_backbone)} - _packages(cfg.model)
    others = [name for name in import_names(cfg) if name != 'mmdiffperc' and name.partition('.')[0] not in unused]
    # First, because it makes mmcv.ops importable, which the hosts need.
    cfg.custom_imports = dict(cfg.get('custom_imports') or {}, imports=['mmdiffperc', *others])


def import_names(cfg: Config) -> list[str]:
    """Return the modules that a config imports."""
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def _package(name) -> str:
    return name.partition('.')[0] if '.' in name else ''


def _packages(part) -> set[str]:
    """Return the packages that prefix the types."""
    if isinstance(part, (list, tuple)):
        return set().union(*map(_packages, part))
    if not isinstance(part, dict):
        return set()
    own = {_package(part['type'])} if isinstance(part.get('type'), str) else set()
    return own.union(*map(_packages, part.values()))


def drop_old_weights(cfg: Config):
    """Remove the settings that load weights of the old backbone."""
    cfg.model.pop('pretrained', None)
    if cfg.get('load_from'):
        cfg.load_from = None


def drop_layer_decay(cfg: Config):
    """Remove the layer-wise learning rates of the old backbone; keep those in ``custom_keys``."""
    wrapper = cfg.get('optim_wrapper') or {}
    if any(name in wrapper.get('constructor', '') for name in LAYER_DECAY):
        del wrapper['constructor']
        for option in LAYER_DECAY_OPTIONS:
            wrapper.get('paramwise_cfg', {}).pop(option, None)
