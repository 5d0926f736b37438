"""Every argument of every class that a config can name, given values of other types, empty, negative, huge or none."""

import inspect
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from itertools import chain
from typing import get_type_hints

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
from tiny_vit import VIT

from mmdiffperc.generative import DeterministicProcess, TargetCodec
from mmdiffperc.models.layers.image_classifier import ImageClassifier
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder
from mmdiffperc.toy_scenes.writers.dataset import DatasetSpec
from mmdiffperc.weights.noise_schedule import load_schedule

from .case import Case
from .values import bad_values

PARTS = ('captions', 'engine', 'generative', 'models', 'pose', 'seg')
REGISTRIES = (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
UNREGISTERED = (DatasetSpec, DeterministicProcess, ImageClassifier, SentenceEncoder, TargetCodec)

# What a class cannot be built without.
GIVEN = {
    'AnySizeDepthHead': dict(in_channels=[8, 8, 8, 8]),
    'AttentiveRefinementNeck': dict(in_channels=[40, 40]),
    'CaptionPrompts': dict(arch='tiny-sd', embed_dims=96),
    'CheckDepth': dict(max_depth=10.0),
    'CheckLabels': dict(num_classes=3),
    'ClassPrompts': dict(classes=['sky'], embed_dims=8),
    'ClassTokenPrompts': dict(classes=['sky'], arch='tiny-sd', embed_dims=96),
    'ColouredSegMetric': dict(palette=[[1, 2, 3]]),
    'CombinedPrompts': dict(parts=[dict(type='MetaPrompts', num_prompts=3)], arch='tiny-sd', embed_dims=96),
    'DatasetSpec': dict(num_train=1, num_val=1),
    'DeterministicDiffusion': dict(arch='tiny-sd'),
    'DeterministicProcess': dict(scheduler=load_schedule('tiny-sd')),
    'DiffusionUNet': dict(arch='tiny-sd'),
    'FinerLevelNeck': dict(in_channels=[8, 8]),
    'Float32ExponentialMovingAverage': dict(model=torch.nn.Linear(2, 3)),
    'FollowProtocol': dict(protocol='nyu_depth'),
    'ImageClassPrompts': dict(embed_dims=8, classifier=VIT),
    'ImageClassifier': dict(classifier=VIT),
    'ImageTargetDataset': dict(data_prefix=dict(img_path='images')),
    'InstanceNormHeatmapHead': dict(in_channels=8, out_channels=3),
    'ImageTokenPrompts': dict(embed_dims=12, classifier=VIT),
    'KITTIDepthDataset': dict(ann_file='split.txt'),
    'ListedTargetDataset': dict(ann_file='split.txt'),
    'LoadPublishedTarget': dict(format='nyu_depth'),
    'LowMemoryOptimWrapper': dict(optimizer=torch.optim.SGD([torch.zeros(2)], lr=0.1)),
    'MaskedCrossEntropyLoss': dict(class_weight=[1.0, 2.0]),
    'MetaPrompts': dict(num_prompts=3, embed_dims=8),
    'MetaPromptsDepthHead': dict(in_channels=3),
    'MetaPromptsDepthNeck': dict(in_channels=[16, 16], num_prompts=3, embed_dims=16),
    'MetaPromptsHeatmapNeck': dict(in_channels=[8, 8], num_prompts=3, embed_dims=16),
    'MetaPromptsNeck': dict(in_channels=[8, 8], num_prompts=3, embed_dims=16),
    'MixedBatchSampler': dict(sampler=InfiniteSampler([1, 2], seed=0), batch_size=1, weights=[1]),
    'NameClasses': dict(classes=['sky']),
    'OneStepDiffusion': dict(arch='tiny-sd'),
    'OneStepProcess': dict(scheduler=load_schedule('tiny-sd')),
    'PixelRegression': dict(arch='tiny-sd'),
    'ReferringSegDataset': dict(ann_file='instances.json', split_file='refs.p'),
    'ScenePrompts': dict(classes=['sky'], embed_dims=8),
    'SentenceEncoder': dict(arch='tiny-sd', max_length=9),
    'SharedTextPrompts': dict(arch='tiny-sd', embed_dims=96),
    'SimpleDecodingHead': dict(in_channels=[8, 8]),
    'TextAdapter': dict(embed_dims=8),
    'TextPrompts': dict(arch='tiny-sd', embed_dims=96),
    'ZeroShotDepthMetric': dict(protocol='nyu_depth'),
}
# Where a number below 1 has a meaning, a text may be empty, or anything goes.
MEANT = {
    *(
        ('ColourJitterJPEG', name, 'zero')
        for name in ('prob', 'jitter_prob', 'brightness', 'contrast', 'saturation', 'hue', 'jpeg_prob')
    ),
    *(('DisturbImage', name, 'zero') for name in ('blur_prob', 'median_prob', 'hole_prob')),
    *(('SharedTextPrompts', 'text', text) for text in ('blank', 'empty text')),
    ('*', 'begin_epoch', 'zero'),
    ('*', 'begin_iter', 'zero'),
    ('*', 'cache_size', 'zero'),
    ('*', 'caption', 'empty text'),
    ('*', 'caption', 'blank'),
    ('*', 'recall', 'zero'),
    ('*', 'variance_focus', 'zero'),
    ('*', 'dropout_ratio', 'zero'),
    ('*', 'extra_cells', 'zero'),
    ('*', 'gamma', 'zero'),
    ('*', 'gamma', 'negative'),
    ('*', 'gamma', 'negative float'),
    ('*', 'reconstruction_weight', 'zero'),
    ('*', 'task_embedding', 'negatives'),
    ('*', 'guidance_scale', 'zero'),
    ('*', 'ignore_index', 'zero'),
    ('*', 'ignore_index', 'negative'),
    ('*', 'loss_weight', 'zero'),
    ('*', 'min_depth_eval', 'zero'),
    ('*', 'min_ratio', 'zero'),
    ('*', 'max_depth', 'inf'),
    ('*', 'max_depth_eval', 'inf'),
    ('*', 'out_indices', 'zeros'),
    ('*', 'in_index', 'zeros'),
    ('*', 'in_index', 'negatives'),
    ('*', 'classes', 'zeros'),
    ('*', 'class_weight', 'zeros'),
    ('*', 'processing_res', 'zero'),
    ('*', 'reconstruction_weight', 'zero'),
    ('*', 'seed', 'zero'),
    ('*', 'shuffle_seed', 'zero'),
    ('*', 'target_extra_key', 'empty text'),
    ('*', 'noise_seed', 'zero'),
    ('*', 'task_embedding', 'negatives'),
    ('*', 'tile_overlap', 'zero'),
    ('*', 'tile_size', 'zero'),
    ('*', 'timestep', 'zero'),
    ('*', 'timestep', 'zeros'),
    ('*', 'ann_file', 'blank'),
    ('*', 'ann_file', 'empty text'),  # ImageTargetDataset: beside the images; KITTIDepthDataset: a message of its own
    # Its ann_file, which is not there, is named first.
    *(('ReferringSegDataset', name, text) for name in ('split_file', 'split') for text in ('blank', 'empty text')),
    ('*', 'prefix', 'empty text'),
    ('*', 'img_suffix', 'empty text'),
}


def classes() -> list[type]:
    """The package's own classes that a config can name, and a few that their arguments lead to."""
    for part in PARTS:
        import_module(f'mmdiffperc.{part}')
    found = list(UNREGISTERED)
    for registry in chain.from_iterable((root, *root.children.values()) for root in REGISTRIES):
        found += [kind for kind in registry.module_dict.values() if isinstance(kind, type)]
    own = {kind for kind in found if kind.__module__.startswith('mmdiffperc.') and '.compat.' not in kind.__module__}
    return sorted(own, key=lambda kind: kind.__name__)


def cases() -> Iterator[Case]:
    """For each argument the values that it cannot mean; for each class an argument that it does not have."""
    for kind in classes():
        given = GIVEN.get(kind.__name__, {})
        yield Case(kind.__name__, 'unknown argument', partial(_build, kind, given | dict(colour=1)), ('colour',))
        for name in _required(kind):
            lacking = {key: value for key, value in given.items() if key != name}
            yield Case(kind.__name__, f'without {name}', partial(_build, kind, lacking), (name,))
        for name, hint in _hints(kind).items():
            for title, value in bad_values(hint).items():
                if not {(kind.__name__, name, title), ('*', name, title)} & MEANT:
                    yield Case(kind.__name__, f'{name} {title}', partial(_build, kind, given | {name: value}), (name,))


def _required(kind):
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variadic]


def _hints(kind):
    init = kind.__init__.__wrapped__
    if init.__qualname__.partition('.')[0] != kind.__name__:
        return {}  # a host's, which the package does not declare
    return get_type_hints(init, localns={kind.__name__: kind}, include_extras=True)


def _build(kind, arguments):
    with torch.device('meta'):
        return kind(**arguments)
