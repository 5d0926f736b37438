"""Tensors, arrays and sentences of another shape, type or number than a part works on."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from mmengine.registry import METRICS, TRANSFORMS, DefaultScope

from mmdiffperc.generative import TargetCodec
from mmdiffperc.models import MetaPromptsDepthNeck, MetaPromptsNeck, ScenePrompts, TextPrompts
from mmdiffperc.pose import MetaPromptsHeatmapNeck

from .case import Case

IMAGE = 'a.png'


def cases() -> Iterator[Case]:
    """Of prompts, necks, target maps, transforms and metrics."""
    for area in (_scenes, _sentences, _necks, _targets, _labels, _depth, _measured):
        yield from area()


def _scenes():
    prompts = partial(ScenePrompts, ['bathroom', 'kitchen'], embed_dims=8)
    for ids in ([2, 0], [-2, 0], torch.tensor([0, 99]), [10**9, 0]):
        yield Case('ScenePrompts', f'ids {ids}', lambda ids=ids: prompts()(2, ids), ('category ids',))


def _sentences():
    sentences = [None, 'a box', [], ['a', 'b'], [3], [None], [''], ['  '], ['赤い球'], [b'box'], [['a box']], {'a': 0}]
    for given in sentences:
        yield Case('TextPrompts', f'sentences {given!r}', lambda x=given: _text_prompts()(1, x), ('entence', 'Latin'))
    for shape in ((1, 9, 8), (1, 40, 95), (2, 40, 96), (40, 96)):
        yield Case('TextPrompts', f'states {shape}', lambda x=shape: _text_prompts()(1, torch.zeros(x)), ('states',))


def _text_prompts():
    return TextPrompts('tiny-sd', embed_dims=96)


def _necks():
    arguments = dict(in_channels=[16, 16], num_prompts=3, embed_dims=16)
    good = [torch.zeros(1, 16, 4, 6), torch.zeros(1, 16, 2, 3), torch.zeros(1, 3, 16)]
    for kind in (MetaPromptsNeck, MetaPromptsDepthNeck, MetaPromptsHeatmapNeck):
        for title, inputs in {
            'no prompts': good[:2],
            'too few features': good[1:],
            'other prompts': [*good[:2], torch.zeros(1, 4, 16)],
            'narrow prompts': [*good[:2], torch.zeros(1, 3, 8)],
            'prompts first': good[::-1],
        }.items():
            yield Case(kind.__name__, title, lambda k=kind, x=inputs: k(**arguments)(x), ('prompt embeddings',))


def _targets():
    for mode, channels in (('RGB', 3), ('F', 1)):
        for title, target in {
            'other channels': torch.zeros(1, 4 - channels, 2, 3),
            'no batch': torch.zeros(channels, 2, 3),
            'bytes': torch.zeros(1, channels, 2, 3, dtype=torch.uint8),
            'integers': torch.zeros(1, channels, 2, 3, dtype=torch.long),
        }.items():
            yield Case(
                'TargetCodec', f'{mode}, {title}', lambda m=mode, x=target: TargetCodec(m).encode(x), ('target',)
            )


def _transform(kind, results, **arguments):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return TRANSFORMS.build(dict(arguments, type=kind))(results)


def _labels():
    for title, values in {'beyond': [0, 3], 'far beyond': [254], 'negative': [-1, 0]}.items():
        results = dict(gt_seg_map=np.array([values]), seg_map_path=IMAGE)
        yield Case('CheckLabels', title, partial(_transform, 'CheckLabels', results, num_classes=3), (IMAGE,))


def _depth():
    for title, shape in {'other size': (3, 2), 'channels': (2, 3, 3), 'flat': (6,)}.items():
        results = dict(gt_depth_map=np.ones(shape), ori_shape=(2, 3), depth_map_path=IMAGE, img_path='b.png')
        yield Case('CheckDepth', title, partial(_transform, 'CheckDepth', results, max_depth=9.0), (IMAGE,))
    millimetres = dict(gt_depth_map=np.full((2, 3), 2500.0), ori_shape=(2, 3), depth_map_path=IMAGE)
    yield Case('CheckDepth', 'millimetres', partial(_transform, 'CheckDepth', millimetres, max_depth=9.0), (IMAGE,))
    small = dict(img=np.zeros((5, 8, 3)), img_path=IMAGE)
    yield Case('KBCrop', 'small image', partial(_transform, 'KBCrop', small, size=(6, 8)), (IMAGE,))


def _measured():
    pair = dict(pred_target=dict(data=torch.rand(3, 2, 4)), gt_target=dict(data=torch.rand(3, 4, 2)), img_path=IMAGE)
    for kind, arguments in {
        'NormalMapMetric': {},
        'ImageErrorMetric': {},
        'ColouredSegMetric': dict(palette=[[0, 0, 0], [9, 9, 9]]),
    }.items():
        yield Case(kind, 'sizes differ', partial(_measure, kind, pair, **arguments), (IMAGE,))
    unknown = dict(pair, gt_sem_seg=dict(data=torch.full((1, 2, 4), 7)))
    palette = dict(palette=[[0, 0, 0], [9, 9, 9]])
    yield Case(
        'ColouredSegMetric', 'unknown class', partial(_measure, 'ColouredSegMetric', unknown, **palette), (IMAGE,)
    )
    depth = dict(
        pred_depth_map=dict(data=torch.rand(1, 2, 3)), gt_depth_map=dict(data=torch.rand(1, 3, 2)), img_path=IMAGE
    )
    yield Case('MonocularDepthMetric', 'sizes differ', partial(_measure, 'MonocularDepthMetric', depth), (IMAGE,))
    even = dict(depth, gt_depth_map=dict(data=torch.rand(1, 2, 3) + 1))
    crop = partial(_measure, 'MonocularDepthMetric', even, crop_type='nyu_crop')
    yield Case('MonocularDepthMetric', 'crop of another size', crop, ('nyu_crop',))
    zero = dict(even, pred_depth_map=dict(data=torch.zeros(1, 2, 3)))
    align = partial(_measure, 'MonocularDepthMetric', zero, align='median')
    yield Case('MonocularDepthMetric', 'nothing to align', align, (IMAGE,))
    masks = dict(pred_sem_seg=dict(data=torch.ones(1, 2, 3)), gt_sem_seg=dict(data=torch.ones(1, 3, 2)), img_path=IMAGE)
    yield Case('ReferringSegMetric', 'sizes differ', partial(_measure, 'ReferringSegMetric', masks), (IMAGE,))


def _measure(kind, sample, **arguments):
    with DefaultScope.overwrite_default_scope('mmseg'):
        METRICS.build(dict(arguments, type=kind, prefix='p')).process({}, [sample])
