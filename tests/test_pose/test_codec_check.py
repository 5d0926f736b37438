"""Sizes that do not fit together are an error while the model is built."""

import copy

import pytest
import torch
from mmengine.config import Config
from tiny_pose import CONFIG, build, shrink


@pytest.fixture(scope='module')
def tiny_config(tmp_path_factory):
    return shrink(Config.fromfile(CONFIG), tmp_path_factory.mktemp('pose'))


@pytest.fixture
def config(tiny_config):
    return copy.deepcopy(tiny_config)


def assert_fails(config, message):
    with pytest.raises(ValueError, match=message):
        build(config)


def test_channels(config):
    config.model.head.in_channels = 13
    assert_fails(config, 'head.*HeatmapHead.*in_channels=13.*in_channels=12')


def test_prompts(config):
    config.model.neck.num_prompts = 4
    assert_fails(config, 'num_prompts=4.*DiffusionUNet.*num_prompts=3')


@pytest.mark.parametrize(('size', 'nearest'), [((100, 128), '96, 128'), ((96, 3), '96, 8'), ((61, 85), '64, 88')])
def test_input_that_is_no_multiple_of_the_stride(config, size, nearest):
    config.model.head.decoder.update(input_size=size, heatmap_size=(size[0] // 4, size[1] // 4))
    assert_fails(config, rf'input_size=\({size[0]}, {size[1]}\).*\b8\b.*\({nearest}\)')


def test_input_that_is_no_multiple_of_a_coarser_stride(config):
    config.model.backbone.update(out_indices=(1, 2, 3), num_refine_steps=1)
    config.model.neck.in_channels, config.model.head.in_channels = [24, 32, 40], 9
    config.model.head.decoder.update(input_size=(72, 96), heatmap_size=(9, 12))
    assert_fails(config, r'\(72, 96\).*\b16\b.*\(64, 96\)')


def test_heatmaps_of_another_size(config):
    config.model.head.decoder.heatmap_size = (32, 24)
    assert_fails(config, r'heatmap_size=\(32, 24\).*size \(24, 32\): set heatmap_size=\(24, 32\)')


def test_deconvolutions_enlarge_heatmaps(config):
    config.model.head.update(deconv_out_channels=(6,), deconv_kernel_sizes=(4,))
    assert_fails(config, r'heatmap_size=\(48, 64\)')
    config.model.head.decoder.heatmap_size = (48, 64)
    model = build(config).eval()
    assert model(torch.zeros(1, 3, 128, 96), None).shape == (1, 17, 64, 48)


def test_head_without_codec_and_other_heads_are_left_alone(config):
    config.model.head.pop('decoder')
    assert build(config).head.decoder is None
    config.model.neck = None
    config.model.head.in_channels = 40
    config.model.backbone.out_prompts = False
    assert build(config).eval()(torch.zeros(1, 3, 64, 64), None).shape == (1, 17, 1, 1)


@pytest.mark.parametrize('size', [(64, 64), (72, 104), (160, 88), (40, 8)])
def test_multiples_of_the_stride_work(config, size):
    """Though not of 64, by which the U-Net divides."""
    config.model.head.decoder.update(input_size=size, heatmap_size=(size[0] // 4, size[1] // 4))
    heatmaps = build(config).eval()(torch.zeros(1, 3, size[1], size[0]), None)
    assert heatmaps.shape == (1, 17, size[1] // 4, size[0] // 4)


@pytest.fixture
def direct(config):
    """A head that reads the last feature of the backbone, of stride 16 and 24 channels."""
    config.model.pop('neck')
    config.model.backbone.update(out_indices=(0, 1), num_refine_steps=1, out_prompts=False)
    config.model.head.update(in_channels=24)
    config.model.head.decoder.update(input_size=(96, 128), heatmap_size=(6, 8))
    return config


def test_head_without_a_neck(direct):
    assert build(direct).eval()(torch.zeros(1, 3, 128, 96), None).shape == (1, 17, 8, 6)
    direct.model.head.in_channels = 16
    assert_fails(direct, 'in_channels=16.*DiffusionUNet has 24 channels')


def test_codec_of_a_head_without_a_neck(direct):
    direct.model.head.decoder.update(heatmap_size=(24, 32))
    assert_fails(direct, r'set heatmap_size=\(6, 8\)')
    direct.model.head.decoder.update(input_size=(72, 96), heatmap_size=(9, 12))
    assert_fails(direct, r'\(72, 96\).*\b16\b.*\(64, 96\)')
