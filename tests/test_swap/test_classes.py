from copy import deepcopy

import pytest

from mmdiffperc.swap.classes import set_num_classes

BACKBONE = dict(type='Backbone', num_classes=1000)


def head(num_classes, **others):
    return dict(type='Head', num_classes=num_classes, **others)


@pytest.mark.parametrize(
    ('model', 'expected', 'keys'),
    [
        (
            dict(decode_head=head(150, out_channels=150), auxiliary_head=[head(150), head(150)]),
            dict(decode_head=head(3, out_channels=3), auxiliary_head=[head(3), head(3)]),
            ['decode_head', 'auxiliary_head.0', 'auxiliary_head.1'],
        ),
        (
            dict(rpn_head=head(1), roi_head=dict(bbox_head=[head(80)], mask_head=head(80, out_channels=256))),
            dict(rpn_head=head(1), roi_head=dict(bbox_head=[head(3)], mask_head=head(3, out_channels=256))),
            ['roi_head.bbox_head.0', 'roi_head.mask_head'],
        ),
        (
            dict(decode_head=dict(type='KNet', generator=head(19), updates=(head(19), head(19)))),
            dict(decode_head=dict(type='KNet', generator=head(3), updates=(head(3), head(3)))),
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
    weighted = head(19, loss_decode=dict(type='Loss', class_weight=[1.0] * 19))
    model = dict(decode_head=weighted, auxiliary_head=[head(19), head(2)], fusion=dict(num_things_classes=8))
    changed, left = set_num_classes(model, 4)
    assert changed == ['model.decode_head.num_classes', 'model.auxiliary_head.0.num_classes']
    assert [setting.partition('=')[0] for setting in left] == [
        'model.auxiliary_head.1.num_classes',  # as STDC's head of boundaries, which are two classes
        'model.fusion.num_things_classes',
        'model.decode_head.loss_decode.class_weight',
    ]
    assert model['auxiliary_head'][1]['num_classes'] == 2


@pytest.mark.parametrize('model', [dict(decode_head=head(7)), dict(head=dict(type='HeatmapHead')), dict(neck=None)])
def test_nothing_to_change(model):
    before = deepcopy(model)
    assert set_num_classes(model, 7) == ([], [])
    assert model == before
