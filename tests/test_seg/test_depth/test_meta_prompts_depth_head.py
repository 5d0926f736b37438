import pytest
import torch
from mmengine.registry import init_default_scope

from mmdiffperc.seg import MetaPromptsDepthHead


@pytest.fixture
def head():
    init_default_scope('mmseg')
    torch.manual_seed(2)
    head = MetaPromptsDepthHead(in_channels=5, max_depth=7.0, extra_cells=2, channels=6, filters=(4, 4, 3))
    return head.eval()


@pytest.mark.parametrize(
    ('size', 'enlarged'), [((480, 352), (576, 448)), ((1, 64), (128, 192)), ((97, 131), (192, 256))]
)
def test_images_are_enlarged(head, size, enlarged):
    images = torch.rand(1, 3, 1, 1).expand(1, 3, *size)
    fitted = head.fit_images(images)
    assert fitted.shape == (1, 3, *enlarged)
    torch.testing.assert_close(fitted, images[..., :1, :1].expand_as(fitted))


@pytest.mark.parametrize('size', [(64, 96), (97, 131), (5, 3)])
def test_depth_has_the_size_of_the_image(head, size):
    depth = head((torch.randn(2, 5, 24, 16), size))
    assert depth.shape == (2, 1, *size)
    assert 0 < depth.min() <= depth.max() < 7


def test_depth_is_that_of_the_feature_at_an_eighth_of_the_image(head):
    feature = torch.randn(2, 5, 24, 16)
    smaller = torch.nn.functional.interpolate(feature, (8, 12), mode='bilinear', align_corners=False)
    expected = 7 * torch.sigmoid(head.depth_pred_layer(head.decoder(smaller)))
    torch.testing.assert_close(head((feature, (64, 96))), expected)


def test_start_values(head):
    head.init_weights()
    for layer in (head.decoder.deconv_layers[0], head.decoder.conv_layers[0], head.depth_pred_layer[0]):
        assert layer.weight.std().item() == pytest.approx(0.001, rel=0.2)
    torch.testing.assert_close(
        head((torch.randn(1, 5, 9, 7), (16, 24))), torch.full((1, 1, 16, 24), 3.5), atol=1e-2, rtol=0
    )


def test_print(head):
    assert 'max_depth=7.0, extra_cells=2' in repr(head)
