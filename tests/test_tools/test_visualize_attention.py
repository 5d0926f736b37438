import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import visualize_attention
from mmengine.config import Config

from mmdiffperc.visualization import attention_figure, attention_maps, overlay


@pytest.fixture
def image():
    """BGR, of sides that the strides divide."""
    return np.random.randint(0, 256, (128, 64, 3), np.uint8)


@pytest.fixture
def model(tiny_vpd):
    from mmseg.apis import init_model

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
    from mmseg.apis import init_model

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


@pytest.fixture
def run(tiny_checkpoint, tmp_path, image):
    """Runs the tool on an image; returns its exit status and the picture."""
    source, out = tmp_path / 'image.png', tmp_path / 'new' / 'attention.png'
    cv2.imwrite(str(source), image)

    def run(config, *arguments, source=source, checkpoint=tiny_checkpoint):
        options = [*arguments, '--device', 'cpu', '--out-file', str(out)]
        return visualize_attention.main([config, checkpoint, str(source), *options]), cv2.imread(str(out))

    return run


def test_writes_a_png(run, tiny_vpd, capsys):
    status, picture = run(tiny_vpd, '--classes', 'box', 'traffic cone', '--strides', '32')
    assert status == 0 and 'attention.png written' in capsys.readouterr().out
    # Three panels of 1.6 x 3.2 inches and their margins, at 150 dots per inch.
    assert picture.shape == (555, 1080, 3)


def test_errors_are_one_clear_line(run, tiny_vpd, tmp_path, capsys):
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    assert run(tiny_vpd, '--classes', 'cat')[0] == 1
    assert re.search('cat.*sphere, box, traffic cone\n$', capsys.readouterr().err)
    for name, message in (('text', 'image'), ('empty', 'empty'), ('absent', 'absent')):
        assert run(tiny_vpd, '--classes', 'box', source=tmp_path / f'{name}.png')[0] == 1
        error = capsys.readouterr().err
        assert f'{name}.png' in error and message in error


def test_bad_checkpoints_are_one_clear_line(run, tiny_vpd, tiny_checkpoint, tmp_path, capsys):
    (tmp_path / 'cut.pth').write_bytes(Path(tiny_checkpoint).read_bytes()[:500])
    torch.save(test_bad_checkpoints_are_one_clear_line, tmp_path / 'unsafe.pth')  # the name of a function to import
    for name, message in (('cut.pth', 'incomplete'), ('unsafe.pth', 'refused'), ('no.pth', 'no.pth')):
        assert run(tiny_vpd, '--classes', 'box', checkpoint=str(tmp_path / name))[0] == 1
        error = capsys.readouterr().err
        assert 'visualize_attention: ' in error and name in error and message in error


def test_config_without_maps(tiny_vpd, image):
    from mmseg.apis import init_model

    cfg = Config.fromfile(tiny_vpd)
    cfg.model.backbone.cross_attention = None
    cfg.model.neck.in_channels = [8, 16, 24, 40]
    with pytest.raises(ValueError, match='cross_attention=dict'):
        attention_maps(init_model(cfg, device='cpu'), image)


def test_prompts_without_classes(tiny_vpd, image):
    from mmseg.apis import init_model

    model = init_model(tiny_vpd, device='cpu')
    model.backbone.prompts.classes = ()
    with pytest.raises(ValueError, match='classes.*ClassPrompts'):
        attention_maps(model, image)
