from copy import deepcopy

import pytest

from mmdiffperc.swap.features import Feature
from mmdiffperc.swap.heads import heads_of, read_by_heads, set_head_channels, set_neck_channels, set_num_classes

FEATURES = [Feature(8, 4), Feature(12, 8), Feature(20, 16), Feature(28, 32)]
ALIKE = [Feature(12, 16)] * 4
OTHERS = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNet', in_channels=3),
    neck=None,
    data_preprocessor=dict(type='P', in_channels=3),
    train_cfg=dict(rpn=dict(type='A')),
    test_cfg=dict(mode='whole'),
)


def head(in_channels, **options):
    return dict(type='FCNHead', in_channels=in_channels, **options)


def set_and_get(**model):
    model = {**OTHERS, **model}
    set_head_channels(model, FEATURES)
    return model


@pytest.mark.parametrize(
    ('given', 'found'),
    [
        (head(2048), 28),  # the last one
        (head(2048, in_index=3), 28),
        (head(1024, in_index=-2), 20),
        (head([256, 512, 1024, 2048]), [8, 12, 20, 28]),
        (head((1024, 2048), in_index=[2, 3]), (20, 28)),
        (head([64], in_index=[0]), [8]),
    ],
)
def test_in_channels(given, found):
    in_channels = set_and_get(decode_head=given)['decode_head']['in_channels']
    assert in_channels == found and type(in_channels) is type(found)


def test_all_heads_are_set_and_nothing_else():
    inner = dict(type='IterativeDecodeHead', kernel_generate_head=head(1024, in_index=2), update=[head(512)])
    model = set_and_get(auxiliary_head=[head(1, in_index=0), head(1, in_index=1)], decode_head=inner)
    assert [part['in_channels'] for part in model['auxiliary_head']] == [8, 12]
    assert model['decode_head']['kernel_generate_head']['in_channels'] == 20
    assert model['decode_head']['update'] == [head(512)]  # reads something else than features
    assert {name: model[name] for name in OTHERS} == OTHERS


def test_the_first_feature_beside_the_selected_one():
    model = set_and_get(decode_head=head(2048, in_index=3, c1_in_channels=256))
    assert model['decode_head'] == head(28, in_index=3, c1_in_channels=8)
    assert read_by_heads(model, 4) == {0, 3}
    assert set_and_get(decode_head=head(1, c1_in_channels=0))['decode_head']['c1_in_channels'] == 0


def test_without_convolutions_the_channels_stay():
    model = set_and_get(decode_head=head(256, in_index=2, channels=256, num_convs=0))
    assert model['decode_head'] == head(20, in_index=2, channels=20, num_convs=0)


def test_what_heads_read():
    assert read_by_heads(dict(OTHERS, decode_head=head(1, in_index=-1), auxiliary_head=head(1, in_index=1)), 4) == {
        1,
        3,
    }
    assert read_by_heads(dict(OTHERS, decode_head=head([1, 1], in_index=(0, 2))), 4) == {0, 2}
    assert read_by_heads(dict(OTHERS, bbox_head=dict(type='DETRHead', embed_dims=256)), 3) == {0, 1, 2}  # does not tell
    assert read_by_heads(dict(OTHERS, bbox_head=head(256), aux=head(1, in_index=0)), 3) == {0, 1, 2}


def test_heads():
    model = dict(OTHERS, decode_head=[head(1), dict(type='OCRHead')], query_selector=dict(type='Q'), num_queries=100)
    assert [part['type'] for part in heads_of(model)] == ['FCNHead', 'OCRHead', 'Q']


def test_a_head_reads_what_is_not_there():
    with pytest.raises(ValueError, match=r'FCNHead.*in_index=4.*\b4\b'):
        set_and_get(decode_head=head(1, in_index=4))
    with pytest.raises(ValueError, match=r'FCNHead.*in_channels=\[1, 2\].*\b2\b.*\b4\b'):
        set_and_get(decode_head=head([1, 2]))


@pytest.mark.parametrize(
    ('neck', 'features', 'expected'),
    [
        (dict(in_channels=[256, 512, 1024, 2048]), FEATURES, dict(in_channels=[8, 12, 20, 28])),
        (dict(in_channels=(1, 2, 3)), FEATURES[1:], dict(in_channels=(12, 20, 28))),
        (dict(in_channels=2048), FEATURES, dict(in_channels=28)),
        (dict(embed_dim=768), ALIKE, dict(embed_dim=12)),
        (dict(concat=True), FEATURES, dict(concat=True)),
    ],
)
def test_neck(neck, features, expected):
    neck = dict(neck, type='Neck')
    set_neck_channels(neck, features)
    assert neck == dict(expected, type='Neck')


def test_a_neck_that_cannot_take_them():
    with pytest.raises(ValueError, match=r'FPN.*in_channels=\[1, 2, 3\].*\b3\b.*\b4\b'):
        set_neck_channels(dict(type='FPN', in_channels=[1, 2, 3]), FEATURES)
    with pytest.raises(ValueError, match=r'F2P.*\[8, 12, 20, 28\]'):
        set_neck_channels(dict(type='F2P', embed_dim=3), FEATURES)


BACKBONE = dict(type='Backbone', num_classes=1000)


def head_of(num_classes, **others):
    return dict(type='Head', num_classes=num_classes, **others)


@pytest.mark.parametrize(
    ('model', 'expected', 'keys'),
    [
        (
            dict(decode_head=head_of(150, out_channels=150), auxiliary_head=[head_of(150), head_of(150)]),
            dict(decode_head=head_of(3, out_channels=3), auxiliary_head=[head_of(3), head_of(3)]),
            ['decode_head', 'auxiliary_head.0', 'auxiliary_head.1'],
        ),
        (
            dict(
                rpn_head=head_of(1),
                roi_head=dict(bbox_head=[head_of(80)], mask_head=head_of(80, out_channels=256)),
            ),
            dict(
                rpn_head=head_of(1),
                roi_head=dict(bbox_head=[head_of(3)], mask_head=head_of(3, out_channels=256)),
            ),
            ['roi_head.bbox_head.0', 'roi_head.mask_head'],
        ),
        (
            dict(decode_head=dict(type='KNet', generator=head_of(19), updates=(head_of(19), head_of(19)))),
            dict(decode_head=dict(type='KNet', generator=head_of(3), updates=(head_of(3), head_of(3)))),
            ['decode_head.generator', 'decode_head.updates.0', 'decode_head.updates.1'],
        ),
    ],
)
def test_every_head_of_the_data_set_changes(model, expected, keys):
    model['backbone'] = deepcopy(BACKBONE)
    changed, left = set_num_classes(model, 3)
    assert model == dict(expected, backbone=BACKBONE)
    assert changed == [f'model.{key}.num_classes' for key in keys] and left == []


def test_settings_that_a_number_does_not_fix_are_named():
    weighted = head_of(19, loss_decode=dict(type='Loss', class_weight=[1.0] * 19))
    model = dict(decode_head=weighted, auxiliary_head=[head_of(19), head_of(2)], fusion=dict(num_things_classes=8))
    changed, left = set_num_classes(model, 4)
    assert changed == ['model.decode_head.num_classes', 'model.auxiliary_head.0.num_classes']
    assert [setting.partition('=')[0] for setting in left] == [
        'model.auxiliary_head.1.num_classes',  # as STDC's head of boundaries, which are two classes
        'model.fusion.num_things_classes',
        'model.decode_head.loss_decode.class_weight',
    ]
    assert model['auxiliary_head'][1]['num_classes'] == 2


@pytest.mark.parametrize('model', [dict(decode_head=head_of(7)), dict(head=dict(type='HeatmapHead')), dict(neck=None)])
def test_nothing_to_change(model):
    before = deepcopy(model)
    assert set_num_classes(model, 7) == ([], [])
    assert model == before
