import logging
import re

import pytest
from logs import heard
from mmengine.registry import MODELS, init_default_scope
from tiny_det import FINER, FPN, NARROW, build_stock

RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
FIVE = list('abcde')


@pytest.fixture
def warnings(caplog):
    """What is logged from now on."""
    with heard(caplog):
        yield lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def retinanet(arch, prompts):
    """One that predicts five classes."""
    return build_stock(RETINANET, arch, dict(FPN, start_level=0), prompts, bbox_head=dict(NARROW, num_classes=5))


def test_other_classes(arch, warnings):
    retinanet(arch, dict(type='ClassPrompts', classes='CityscapesDataset'))
    (message,) = warnings()
    assert re.search(r"\b8\b.*bbox_head.*RetinaHead.*\b5\b.*'person', 'rider', 'car' and 5 more", message)


@pytest.mark.parametrize(
    'prompts', [None, dict(type='ClassPrompts', classes=FIVE), dict(type='MetaPrompts', num_prompts=7)]
)
def test_what_is_meant(arch, warnings, prompts):
    retinanet(arch, prompts)
    assert warnings() == []


def test_classes_of_regions(arch, warnings):
    build_stock(FASTER_RCNN, arch, FINER, dict(type='ClassPrompts', classes=['a', 'b']), rpn_head=NARROW)
    (message,) = warnings()
    assert re.search(r"\b2\b.*roi_head.*StandardRoIHead.*\b80\b.*'a', 'b'", message)


def test_a_head_without_classes(arch):
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    head = dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_classes=0)
    with pytest.raises(ValueError, match='decode_head.*FCNHead.*num_classes=0.*1'):
        MODELS.build(dict(type='EncoderDecoder', backbone=dict(type='DiffusionUNet', arch=arch), decode_head=head))


@pytest.mark.parametrize('name', ['decode_head', 'auxiliary_head'])
def test_a_softmax_over_one_channel_learns_nothing(arch, name):
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    def build(**options):
        head = dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_classes=2)
        heads = dict(decode_head=head, auxiliary_head=head.copy())
        heads[name].update(options)
        return MODELS.build(dict(type='EncoderDecoder', backbone=dict(type='DiffusionUNet', arch=arch), **heads))

    with pytest.raises(ValueError, match=f'{name}.*FCNHead.*CrossEntropyLoss.*use_sigmoid=True'):
        build(num_classes=1)
    build(out_channels=1, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
