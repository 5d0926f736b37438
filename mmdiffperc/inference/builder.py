"""Build the inferencer for a config."""

from importlib import import_module
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS

from mmdiffperc.files import brief

from .inferencer import ImageInferencer

# The class of the model, or the nearest of its bases, decides. Most inferencers need a host, so they are imported late.
INFERENCERS = {
    'DepthEstimator': 'mmdiffperc.seg.depth.inferencer.DepthInferencer',
    'ReferringSegmentor': 'mmdiffperc.seg.referring.inferencer.ReferringInferencer',
    'BaseSegmentor': 'mmdiffperc.seg.semantic.inferencer.SemanticInferencer',
    'TopdownPoseEstimator': 'mmdiffperc.pose.inferencer.PoseInferencer',
    'BaseDetector': 'mmdiffperc.det.inferencer.DetectionInferencer',
    'TargetGenerator': 'mmdiffperc.generative.target_inferencer.TargetInferencer',
}


def build_inferencer(config: str | Path | Config, weights: str | Path | None = None, **settings) -> ImageInferencer:
    """Build the inferencer for the model of a config.

    Args:
        config (str | Path | Config): The config.
        weights (str | Path, optional): A checkpoint of a model trained with it.
        **settings: Further arguments of the inferencer, such as ``device`` and ``dtype``.

    Raises:
        FileNotFoundError: A file does not exist.
        ImportError: The host of the model is not installed.
        RuntimeError: The checkpoint is damaged or belongs to another model.
        ValueError: No inferencer supports the model; the config or a setting is invalid.
    """
    config = config if isinstance(config, Config) else Config.fromfile(config)
    return inferencer_class(config)(config, weights, **settings)


def inferencer_class(config: Config) -> type[ImageInferencer]:
    """Return the class of the inferencer for the model of a config.

    Raises:
        ImportError: The host of the model is not installed.
        ValueError: No inferencer supports the model.
    """
    kind = config.get('model', {}).get('type')
    with MODELS.switch_scope_and_registry(config.get('default_scope', 'mmengine')) as registry:
        model = registry.get(kind) if isinstance(kind, str) else kind
    for base in getattr(model, '__mro__', ()):
        if base.__name__ in INFERENCERS:
            module, _, name = INFERENCERS[base.__name__].rpartition('.')
            return getattr(import_module(module), name)
    raise ValueError(
        f'No inferencer for a model of type {brief(kind)}: expected a config whose model is one of '
        f'{", ".join(INFERENCERS)}, or derives from one. If the model belongs to a host, check that the host is '
        'installed: mmdiffperc doctor'
    )
