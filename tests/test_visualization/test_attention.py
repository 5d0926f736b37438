import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.apis import init_model

from mmdiffperc.visualization import attention_figure, attention_maps, overlay


@pytest.fixture
def image():
    """BGR, of sides that the strides divide."""
    return np.random.randint(0, 256, (128, 64, 3), np.uint8)


@pytest.fixture
def model(tiny_vpd):
    return init_model(tiny_vpd, device='cpu')


@pytest.mark.parametrize('stride', [16, 32])
def test_maps_are_those_of_the_backbone_at_the_size_of_the_image(model, image, stride):
    maps = attention_maps(model, image, ['traffic cone', 'sphere'], stride)
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        feature = model.backbone(inputs)[model.backbone.out_strides.index(stride)]
    wanted = F.interpolate(feature[:, -3:], (128, 64), mode='bilinear')[0]
    assert list(maps) == ['traffic cone', 'sphere']
    torch.testing.assert_close(torch.from_numpy(maps['traffic cone']), wanted[2])
    torch.testing.assert_close(torch.from_numpy(maps['sphere']), wanted[0])


def test_maps_of_resized_features(tiny_vpd, image):
    """The stride of the maps is that of the level, whatever the feature is resized to."""
    cfg = Config.fromfile(tiny_vpd)
    cfg.model.backbone.out_strides = [4, 8, 16, 32]
    model = init_model(cfg, device='cpu')
    maps = attention_maps(model, image, ['box'], 32)
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        feature = model.backbone(inputs)[2]  # the level of stride 32
    wanted = F.interpolate(feature[:, -2:-1], (128, 64), mode='bilinear')[0, 0]
    assert feature.shape[2:] == (8, 4)
    torch.testing.assert_close(torch.from_numpy(maps['box']), wanted)


def test_all_classes_share_the_attention(model, image):
    maps = attention_maps(model, image)
    assert list(maps) == ['sphere', 'box', 'traffic cone']
    assert all(0 <= attention.min() <= attention.max() <= 1 for attention in maps.values())
    np.testing.assert_allclose(sum(maps.values()), 1, atol=1e-5)


def test_file_of_any_size_and_resize_in_the_pipeline(model, tmp_path):
    model.cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='Resize', scale=(101, 90), keep_ratio=True))
    cv2.imwrite(str(tmp_path / 'image.png'), np.random.randint(0, 256, (50, 61, 3), np.uint8))
    maps = attention_maps(model, tmp_path / 'image.png')
    assert {attention.shape for attention in maps.values()} == {(50, 61)}
    np.testing.assert_allclose(sum(maps.values()), 1, atol=1e-5)


def test_unknown_class_and_stride(model, image):
    with pytest.raises(ValueError, match='cat, dog.*sphere, box, traffic cone'):
        attention_maps(model, image, ['cat', 'box', 'dog'])
    with pytest.raises(ValueError, match=r'\b8\b.*\[16, 32\]'):
        attention_maps(model, image, stride=8)


def test_overlay_goes_from_the_darkest_to_the_brightest_colour():
    image = np.full((1, 3, 3), 100, np.uint8)
    picture = overlay(image, np.array([[0.2, 0.3, 0.4]]), opacity=1.0)
    brightness = picture.sum(axis=2)[0].astype(int)
    assert picture.shape == (1, 3, 3) and brightness[0] < 10 and (np.diff(brightness) > 100).all()
    np.testing.assert_array_equal(overlay(image, np.eye(1, 3), opacity=0.0), image)


def test_even_map_can_be_drawn():
    figure = attention_figure(np.zeros((4, 6, 3), np.uint8), {'box': np.full((4, 6), 0.5)})
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == ['image', 'box', '']


def test_config_without_maps(tiny_vpd, image):
    cfg = Config.fromfile(tiny_vpd)
    cfg.model.backbone.cross_attention = None
    cfg.model.neck.in_channels = [8, 16, 24, 40]
    with pytest.raises(ValueError, match='cross_attention=dict'):
        attention_maps(init_model(cfg, device='cpu'), image)


def test_prompts_without_classes(tiny_vpd, image):
    model = init_model(tiny_vpd, device='cpu')
    model.backbone.prompts.classes = ()
    with pytest.raises(ValueError, match='classes.*ClassPrompts'):
        attention_maps(model, image)
