import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmdiffperc.models.checks.test_cfg_check import check_inference_mode

SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(48, 48))
BAD = [
    (dict(mode='slid'), "'slid'"),
    (dict(mode='slide'), "'slide'.*crop_size.*stride"),
    (dict(SLIDE, stride=(0, 48)), r'\(0, 48\)'),
    (dict(SLIDE, stride=(True, 48)), r'\(True, 48\)'),
    (dict(SLIDE, crop_size=(64.0, 64)), r'\(64\.0, 64\)'),
    (dict(SLIDE, stride=(48, 65)), r'stride=\(48, 65\).*crop_size=\(64, 64\)'),
]


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE, dict(SLIDE, stride=[64, 64])])
def test_what_can_be_tested(test_cfg):
    check_inference_mode(test_cfg, ('whole', 'slide'))


@pytest.mark.parametrize(('test_cfg', 'message'), BAD)
def test_what_cannot(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        check_inference_mode(test_cfg, ('whole', 'slide'))


def test_stock_segmentor_is_checked_at_its_first_call(arch):
    """In training, too, so that no run ends at its first validation."""
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    head = dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_classes=3)
    model = MODELS.build(
        dict(type='EncoderDecoder', backbone=dict(type='DiffusionUNet', arch=arch), decode_head=head, test_cfg=SLIDE)
    )
    images = torch.zeros(1, 3, 64, 64)
    assert model(images).shape[1] == 3
    model.test_cfg = dict(mode='shift')
    with pytest.raises(ValueError, match="'shift'"):
        model(images)
