"""Stock models of mmsegmentation around the backbone, with one part that does not go with the others."""

import copy
from collections.abc import Iterator
from functools import partial

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from .case import Case
from .settings import tiny_arch

CHANNELS = [8, 16, 24, 40]
PREPROCESSOR = dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
MODEL = dict(
    type='EncoderDecoder',
    data_preprocessor=PREPROCESSOR,
    backbone=dict(type='DiffusionUNet', prompts=dict(type='ClassPrompts', classes=['a', 'b', 'c'])),
    neck=dict(type='FPN', in_channels=CHANNELS, out_channels=16, num_outs=4),
    decode_head=dict(type='FCNHead', in_channels=16, in_index=0, channels=8, num_classes=3),
    test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(48, 48)),
)
SLIDE = MODEL['test_cfg']
LEVELS = [0, 1, 2, 3]
UPER_HEAD = dict(type='UPerHead', in_channels=CHANNELS, in_index=LEVELS, channels=8, num_classes=3, _delete_=True)
DEPTH_HEAD = dict(type='MetaPromptsDepthHead', in_channels=8, channels=4, _delete_=True)
META_NECK = dict(type='MetaPromptsNeck', in_channels=CHANNELS, num_prompts=3, embed_dims=12, num_groups=4)
WITH_PROMPTS = dict(out_prompts=True)

# title, what changes, what the message names
CHANGES = [
    ('neck in_channels', dict(neck=dict(in_channels=[8, 16, 24, 41])), 'in_channels'),
    ('neck in_channels short', dict(neck=dict(in_channels=[8, 16], num_outs=2)), 'in_channels'),
    ('neck in_channels string', dict(neck=dict(type='FinerLevelNeck', in_channels='8', _delete_=True)), 'in_channels'),
    ('head in_channels', dict(decode_head=dict(in_channels=17)), 'in_channels'),
    ('head in_index', dict(decode_head=dict(in_index=4)), 'in_index'),
    ('head in_index negative', dict(decode_head=dict(in_index=-5)), 'in_index'),
    ('head num_classes', dict(decode_head=dict(num_classes=5)), 'classes'),
    ('head num_classes 0', dict(decode_head=dict(num_classes=0)), 'num_classes'),
    ('head num_classes -1', dict(decode_head=dict(num_classes=-1)), 'num_classes'),
    ('head without neck', dict(neck=None, decode_head=dict(UPER_HEAD, in_channels=[8] * 4)), 'in_channels'),
    ('head of fewer levels', dict(neck=None, backbone=dict(out_indices=(0, 1)), decode_head=UPER_HEAD), 'in_index'),
    ('auxiliary head', dict(auxiliary_head=dict(MODEL['decode_head'], in_channels=32)), 'in_channels'),
    ('prompts not handed on', dict(neck=dict(META_NECK, _delete_=True)), 'out_prompts'),
    (
        'number of prompts',
        dict(backbone=WITH_PROMPTS, neck=dict(META_NECK, num_prompts=4, _delete_=True)),
        'num_prompts',
    ),
    (
        'width of prompts',
        dict(backbone=WITH_PROMPTS, neck=dict(META_NECK, embed_dims=16, _delete_=True)),
        'embed_dims',
    ),
    ('mean short', dict(data_preprocessor=dict(mean=[127.5] * 2)), 'mean'),
    ('mean NaN', dict(data_preprocessor=dict(mean=[float('nan')] * 3)), 'mean'),
    ('std 0', dict(data_preprocessor=dict(std=[127.5, 0, 127.5])), 'std'),
    ('std negative', dict(data_preprocessor=dict(std=[-127.5] * 3)), 'std'),
    ('std infinite', dict(data_preprocessor=dict(std=[float('inf')] * 3)), 'std'),
    ("ImageNet's mean", dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53])), 'mean'),
    ("ImageNet's std", dict(data_preprocessor=dict(std=[58.395, 57.12, 57.375])), 'std'),
    ('range of 0 to 1', dict(data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3)), 'mean'),
    ('no normalisation', dict(data_preprocessor=dict(mean=None, std=None)), 'mean'),
    ('BGR', dict(data_preprocessor=dict(bgr_to_rgb=False)), 'bgr_to_rgb'),
    ('test mode', dict(test_cfg=dict(mode='flip')), 'mode'),
    ('test mode None', dict(test_cfg=dict(mode=None)), 'mode'),
    ('no windows', dict(test_cfg=dict(mode='slide', _delete_=True)), 'crop_size'),
    ('stride 0', dict(test_cfg=dict(stride=(0, 0))), 'stride'),
    ('stride negative', dict(test_cfg=dict(stride=(-1, 48))), 'stride'),
    ('stride float', dict(test_cfg=dict(stride=(42.5, 48))), 'stride'),
    ('stride single', dict(test_cfg=dict(stride=48)), 'stride'),
    ('crop float', dict(test_cfg=dict(crop_size=(64.0, 64.0))), 'crop_size'),
    ('crop three', dict(test_cfg=dict(crop_size=(64, 64, 3))), 'crop_size'),
    ('crop text', dict(test_cfg=dict(crop_size='64')), 'crop_size'),
    ('stride > crop', dict(test_cfg=dict(stride=(65, 48))), 'stride'),
    ('depth head in EncoderDecoder', dict(neck=None, decode_head=DEPTH_HEAD), 'type'),
    ('prompts without sentences', dict(type='ReferringSegmentor'), 'TextPrompts'),
]


def cases() -> Iterator[Case]:
    """Each change alone, of a model that fits."""
    for title, changes, name in CHANGES:
        yield Case('whole model', title, partial(build_and_call, changes), (name,))


def build_and_call(changes: dict):
    """Build the model and call it once, as training does in its first iteration."""
    cfg = Config(dict(model=copy.deepcopy(MODEL)))
    cfg.merge_from_dict(dict(model=changes))
    cfg.model.backbone.arch = tiny_arch()
    if cfg.model.get('neck') is None:
        cfg.model.pop('neck')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model).eval()
        with torch.no_grad():
            model(torch.zeros(1, 3, 64, 64))
