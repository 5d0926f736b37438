from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from mmseg.models.decode_heads import VPDDepthHead

from mmdiffperc.seg import AnySizeDepthHead

OPTIONS = dict(in_channels=[16, 24, 32, 40], embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4), max_depth=7.0)


def build(kind, **options):
    """A head whose decoder does not say about the same everywhere."""
    torch.manual_seed(0)
    head = kind(**OPTIONS, **options)
    for weight in head.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    return head.eval()


@pytest.fixture
def head():
    return build(AnySizeDepthHead)


def features(height, width):
    """Of strides 8, 16, 32 and 64, of a padded image."""
    strides = enumerate((8, 16, 32, 64))
    return [torch.randn(1, OPTIONS['in_channels'][i], height // stride, width // stride) for i, stride in strides]


@pytest.mark.parametrize(('size', 'padded'), [((1, 65), (64, 128)), ((480, 640), (512, 640)), ((64, 128), (64, 128))])
def test_images_are_padded_with_grey(head, size, padded):
    images = torch.ones(2, 3, *size)
    fitted = head.fit_images(images)
    assert fitted.shape == (2, 3, *padded)
    assert (fitted[..., : size[0], : size[1]] == 1).all() and fitted.sum() == images.sum()


@pytest.mark.parametrize(
    ('size', 'padded', 'border'),
    [
        ((96, 480), (128, 512), (1, 1)),
        ((352, 128), (384, 128), (1, 0)),
        ((128, 97), (128, 128), (0, 0)),
        ((33, 96), (64, 128), (0, 1)),
    ],
)
def test_is_the_head_of_mmseg_with_the_border_of_the_image(head, size, padded, border):
    """The official code pads 480 to 512 and 352 to 384."""
    inputs = features(*padded)
    with torch.no_grad():
        expected = build(VPDDepthHead, fmap_border=border)(inputs)
        depth = head([*inputs, size])
    assert depth.shape == (1, 1, *size) and depth.std() > 0.01
    torch.testing.assert_close(depth, expected[..., : size[0], : size[1]])


@torch.no_grad()
def test_threads_with_images_of_several_sizes(head):
    """The border follows from the size of an image: a shared one would cut other images wrongly."""
    inputs = [[*features(128, 128), size] for size in ((64, 96), (96, 64), (83, 70))]
    alone = [head(one) for one in inputs]
    barrier = Barrier(len(inputs))

    def wait(module, args):
        barrier.wait(timeout=60)

    head.conv_aggregation.register_forward_pre_hook(wait)
    with ThreadPoolExecutor(len(inputs)) as pool:
        for depth, expected in zip(pool.map(torch.no_grad()(head), inputs), alone, strict=True):
            torch.testing.assert_close(depth, expected)


def test_images_are_padded_with_black():
    images = torch.full((1, 3, 60, 70), 0.5)
    fitted = build(AnySizeDepthHead, padding='black').fit_images(images)
    assert fitted.shape == (1, 3, 64, 128) and (fitted[..., :60, :70] == 0.5).all()
    assert (fitted[..., 60:, :] == -1).all() and (fitted[..., 70:] == -1).all()


@torch.no_grad()
def test_what_is_cut():
    """Whether the last convolutions see the padding of an image of 96 x 100 shows only at its two borders."""
    inputs, size = features(128, 128), (96, 100)
    depths = {cut: build(AnySizeDepthHead, cut=cut)([*inputs, size]) for cut in ('joined', 'decoded', 'depth')}
    assert {tuple(depth.shape) for depth in depths.values()} == {(1, 1, *size)}
    torch.testing.assert_close(depths['decoded'][..., :94, :98], depths['depth'][..., :94, :98])
    assert (depths['decoded'] - depths['depth'])[..., 94:, :].abs().max() > 0.01
    assert (depths['decoded'] - depths['depth'])[..., 98:].abs().max() > 0.01
    torch.testing.assert_close(depths['depth'], build(VPDDepthHead)(inputs)[..., :96, :100])
    assert (depths['joined'] - depths['depth']).abs().max() > 0.01


def test_the_head_describes_itself(head):
    """mmseg's version of this raises an error."""
    assert 'max_depth=7.0' in repr(head)
