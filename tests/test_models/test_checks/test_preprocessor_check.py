import re

import pytest
from logs import heard
from mmengine.registry import MODELS, init_default_scope

RIGHT = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


@pytest.fixture
def build(arch, caplog):
    """Build a segmentor with a data preprocessor; returns what is logged meanwhile about this one."""
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    def built(**preprocessor):
        head = dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_classes=3)
        preprocessor = dict(type='SegDataPreProcessor', **preprocessor)
        backbone = dict(type='DiffusionUNet', arch=arch)
        MODELS.build(dict(type='EncoderDecoder', data_preprocessor=preprocessor, backbone=backbone, decode_head=head))
        return [one.getMessage() for one in caplog.records if one.getMessage().startswith('data_preprocessor')]

    with heard(caplog):
        yield built


@pytest.mark.parametrize('right', [RIGHT, dict(mean=[127.5], std=[127.5], rgb_to_bgr=True)])
def test_what_stable_diffusion_was_trained_on(build, right):
    assert not build(**right)


@pytest.mark.parametrize(
    ('other', 'named'),
    [
        (IMAGENET, ['mean=[123.6', 'std=[58.39']),
        (dict(RIGHT, bgr_to_rgb=False), ['bgr_to_rgb=False']),
        (dict(bgr_to_rgb=True), ['mean=None', 'std=None']),
    ],
)
def test_other_normalisation_is_logged(build, other, named):
    (message,) = build(**other)
    assert all(part in message for part in named) and 'mean=[127.5, 127.5, 127.5]' in message


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(RIGHT, std=[127.5, 0, 127.5]), 'std=[127.5, 0.0, 127.5]'),
        (dict(RIGHT, std=[-1.0] * 3), 'std=[-1.0, -1.0, -1.0]'),
        (dict(RIGHT, mean=[1.0, 2.0]), 'mean=[1.0, 2.0]'),
        (dict(RIGHT, mean=[float('nan')] * 3), 'mean=[nan, nan, nan]'),
    ],
)
def test_what_cannot_be_meant(build, wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(**wrong)


def test_generative_models_too():
    wrong = dict(type='ImgDataPreprocessor', mean=[1], std=[0])
    with pytest.raises(ValueError, match=r'std=\[0\].*3'):
        MODELS.build(dict(type='DeterministicDiffusion', arch='tiny-sd', data_preprocessor=wrong))
