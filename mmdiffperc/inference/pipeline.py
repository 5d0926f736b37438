"""The test pipeline of a config, for images without annotations."""

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, DefaultScope

from mmdiffperc.registry import class_name

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadDepthAnnotation', 'LoadPanopticAnnotations', 'LoadReferringMask')


def pipeline_for_testing(cfg: Config) -> Compose:
    """Build the test pipeline of a config for images that have already been read and have no annotations.

    Returns:
        Compose: Takes ``dict(img=...)``, ``(H, W, 3)`` in BGR, uint8, with further entries such as a sentence.

    Raises:
        ValueError: The config has no test pipeline.
    """
    if not (transforms := transforms_for_testing(cfg)):
        raise ValueError('Expected a config with test_dataloader.dataset.pipeline, which prepares the images')
    loader, *others = transforms
    if class_name(loader['type']) != 'LoadImage':  # mmpose's, which accepts images in memory
        loader = dict(loader, type='LoadImageFromNDArray')
    others = [transform for transform in others if class_name(transform['type']) not in ANNOTATION_LOADERS]
    # Another host's model may have been built since.
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return Compose([loader, *others])


def metainfo_for_testing(cfg: Config) -> dict:
    """Return the meta information of the test data, such as classes and palette, without reading the data."""
    dataset = dataset_for_testing(cfg)
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope', 'mmengine')) as registry:
        return registry.build(dict(dataset, pipeline=[], lazy_init=True)).metainfo


def dataset_for_testing(cfg: Config) -> dict:
    """Return the config of the test data set, without the data sets that wrap it, such as ``RepeatDataset``.

    Only the first of several data sets (``ConcatDataset``) or data loaders (a list) is used. Without test data, the
    result is empty.
    """
    dataset = _test_dataset(cfg)
    while inner := _inner(dataset):
        dataset = inner
    return dataset


def transforms_for_testing(cfg: Config) -> list[dict]:
    """Return the transforms of the test data, including those of data sets that are wrapped, as by ``RepeatDataset``.

    Only the first of several data sets (``ConcatDataset``) or data loaders (a list) is used.
    """
    return _pipeline_of(_test_dataset(cfg))


def _test_dataset(cfg):
    loader = cfg.get('test_dataloader') or {}
    loader = next(iter(loader), {}) if isinstance(loader, (list, tuple)) else loader
    return loader.get('dataset') or {}


def _inner(dataset):
    return dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)


def _pipeline_of(dataset):
    inner = _inner(dataset)
    return [*(_pipeline_of(inner) if inner else ()), *(dataset.get('pipeline') or ())]
