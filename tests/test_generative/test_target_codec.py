import math

import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.generative import TargetCodec
from mmdiffperc.generative.target_codec import targets_of


@pytest.mark.parametrize(('mode', 'scale', 'channels'), [('RGB', 1.0, 3), ('F', 8.0, 1)])
def test_there_and_back(mode, scale, channels):
    targets = torch.rand(2, channels, 5, 7) * scale
    codec = TargetCodec(mode, scale)
    images = codec.encode(targets)
    assert images.shape == (2, 3, 5, 7)
    torch.testing.assert_close(images[:, :channels], targets / scale * 2 - 1)
    torch.testing.assert_close(codec.decode(images), targets)


def test_each_map_stretched():
    targets = torch.stack([torch.tensor([[2.0, 3, 6]]), torch.tensor([[5.0, 5, 5]])])[:, None]
    codec = TargetCodec('F', 'per_image')
    expected = torch.tensor([[0, 0.25, 1], [0, 0, 0]])[:, None, None]
    torch.testing.assert_close(codec.decode(codec.encode(targets)), expected)
    torch.testing.assert_close(codec.encode(targets), (expected * 2 - 1).expand(-1, 3, -1, -1))


def test_clipping():
    images = torch.tensor([-3.0, 0, 3]).reshape(1, 1, 1, 3).expand(1, 3, 1, 3)
    assert TargetCodec().decode(images)[0, 0, 0].tolist() == [0, 0.5, 1]
    assert TargetCodec('F', 4.0).decode(images).flatten().tolist() == [0, 2, 8]  # may be further than 4 metres


def test_channels_are_averaged():
    images = torch.tensor([0.0, 0.2, 1.0]).reshape(1, 3, 1, 1)
    assert TargetCodec('F').decode(images).item() == pytest.approx(0.7)


def test_resize_does_not_overshoot():
    edge = torch.tensor([0.0, 0, 1, 1]).expand(3, 2, 4)
    resized = TargetCodec().resize(edge, (5, 16))
    assert resized.shape == (3, 5, 16) and resized.min() == 0 and resized.max() == 1
    assert TargetCodec('F').resize(9 * edge[:1], (5, 16)).max() > 9


@pytest.mark.parametrize(('mode', 'targets'), [('RGB', torch.rand(1, 1, 2, 3)), ('F', torch.rand(1, 3, 2, 3))])
def test_target_of_the_other_mode(mode, targets):
    with pytest.raises(ValueError, match=f"target_mode='{mode}'.*[13]"):
        TargetCodec(mode).encode(targets)


def test_bytes_are_refused():
    with pytest.raises(ValueError, match=r'\b3\b.*torch.uint8'):
        TargetCodec().encode(torch.zeros(1, 3, 2, 3, dtype=torch.uint8))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('L',), "mode='L'.*'RGB'.*'F'"),
        (('F', 0), 'target_scale=0'),
        (('F', 'auto'), "target_scale='auto'.*'per_image'"),
        (('RGB', 8.0), 'target_scale=8.0.*target_mode="F"'),
        (('normals', 1.0, 'log'), 'transform=\'log\'.*target_mode="F"'),
        (('F', 1.0, 'depth'), "transform='depth'.*'disparity'.*'log'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TargetCodec(*arguments)


def row(*values):
    """Maps of one row ``(1, 1, 1, W)``."""
    return torch.tensor(values)[None, None, None]


def test_quantiles():
    """Of 0, 10, ..., 1000, the quantiles are 20 and 980; an outlier beyond the mask does not count."""
    values = row(*(10.0 * index for index in range(101)), 1e9)
    codec = TargetCodec('F', 'quantiles')
    images = codec.encode(values, values < 1e9)
    assert images[0, 2, 0, [0, 2, 50, 98, 100, 101]].tolist() == pytest.approx([-1, -1, 0, 1, 1, 0], abs=1e-6)
    assert codec.decode(images)[0, 0, 0, [0, 50, 100]].tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert codec.decode(3 * images).max() == 1


@pytest.mark.parametrize(
    ('transform', 'scale', 'expected'),
    [('disparity', 2.0, [0.5 / 2, 0.25 / 2, 1]), ('log', 3.0, [math.log(2) / 6 + 0.5, math.log(4) / 6 + 0.5, 0.3845])],
)
def test_metric_transforms(transform, scale, expected):
    depth = row(2.0, 4.0, 0.5)
    codec = TargetCodec('F', scale, transform)
    images = codec.encode(depth)
    torch.testing.assert_close(images[:, 1:2], row(*expected) * 2 - 1, atol=1e-4, rtol=0)
    torch.testing.assert_close(codec.decode(images), depth)
    assert codec.decode(torch.full((1, 3, 1, 1), -1.0)).isfinite()  # a disparity of 0


@pytest.mark.parametrize(('transform', 'expected'), [('disparity', [1, 0.5, 0]), ('log', [0, 0.5, 1])])
def test_relative_transforms_stay(transform, expected):
    depth = row(1.0, 1 / 0.55, 10.0) if transform == 'disparity' else row(1.0, 10, 100)
    codec = TargetCodec('F', 'per_image', transform)
    assert codec.decode(codec.encode(depth)).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ('arguments', 'kind'),
    [
        (('RGB',), 'colours'),
        (('normals',), 'normals'),
        (('F', 8.0), 'metric'),
        (('F', 2.0, 'disparity'), 'metric'),
        (('F', 'quantiles'), 'affine'),
        (('F', 'per_image', 'disparity'), 'disparity'),
        (('F', 'quantiles', 'log'), 'log'),
    ],
)
def test_kind(arguments, kind):
    codec = TargetCodec(*arguments)
    assert codec.kind == kind and (codec.unit == 'none') == (kind != 'metric')


def test_normals():
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 5, 7), dim=1)
    codec = TargetCodec('normals')
    assert torch.equal(codec.encode(normals), normals)
    torch.testing.assert_close(codec.decode(0.2 * normals), normals)
    assert not codec.decode(torch.zeros(1, 3, 1, 1)).any()
    torch.testing.assert_close(codec.resize(normals[0], (8, 3)).norm(dim=0), torch.ones(8, 3))


def test_maps_for_losses():
    images = torch.tensor([0.0, 0.3, 3.0]).reshape(1, 3, 1, 1)
    assert TargetCodec('F').to_maps(images).tolist() == [[[[1]]]]
    assert TargetCodec('normals').to_maps(images).square().sum().item() == pytest.approx(1)
    assert TargetCodec('RGB').to_maps(images) is images


@pytest.mark.parametrize(
    'arguments',
    [('RGB',), ('normals',), ('F', 8.0), ('F', 'per_image'), ('F', 'quantiles', 'log'), ('F', 2.0, 'disparity')],
)
@pytest.mark.parametrize('junk', [math.nan, -math.inf, -1e30])
def test_invalid_pixels_have_no_influence(arguments, junk):
    codec = TargetCodec(*arguments)
    targets = torch.rand(3, 1 if codec.mode == 'F' else 3, 4, 6) + 0.1
    valid = torch.rand(3, 1, 4, 6) > 0.4
    valid[2] = False
    images = codec.encode(targets.where(valid, junk), valid)
    torch.testing.assert_close(images, codec.encode(targets.where(valid, 0.7), valid))
    assert not images[~valid.expand_as(images)].any() and images[:2].any()
    if math.isfinite(junk):
        return
    assert torch.equal(codec.encode(targets.where(valid, junk)), images)  # what is not finite is found


def test_valid_pixels_of_data_samples():
    target, mask = torch.rand(3, 2, 3), torch.ones(1, 2, 3, dtype=torch.uint8)
    target[1, 0, 0], mask[0, 1, 2] = math.nan, 0
    plain, masked = (BaseDataElement(gt_target=PixelData(data=target)) for _ in range(2))
    masked.gt_valid = PixelData(data=mask)
    targets, valid = targets_of([plain, masked], torch.zeros(2, 3, 2, 3))
    assert targets.shape == (2, 3, 2, 3) and valid.dtype == torch.bool
    assert valid.tolist() == [[[[False, True, True], [True] * 3]], [[[False, True, True], [True, True, False]]]]
    masked.gt_valid = PixelData(data=mask[:, :1])
    masked.set_metainfo(dict(img_path='a.png'))
    with pytest.raises(ValueError, match=r'a.png.*gt_valid.*\(1, 3\).*\(2, 3\)'):
        targets_of([plain, masked], torch.zeros(2, 3, 2, 3))


@pytest.mark.parametrize('transform', ['disparity', 'log'])
def test_targets_without_reciprocal_or_logarithm(transform):
    with pytest.raises(ValueError, match=f"transform='{transform}'.* -2.*valid_range"):
        TargetCodec('F', 1.0, transform).encode(row(1.0, -2.0))


def test_axes_of_the_image():
    """Lotus draws x to the left; a half range of z covers 0 to 1 only."""
    normals = torch.tensor([0.6, 0.0, 0.8]).reshape(1, 3, 1, 1)
    lotus, half = TargetCodec('normals', axes='Lotus'), TargetCodec('normals', full_z_range=False)
    assert lotus.encode(normals).flatten().tolist() == pytest.approx([-0.6, 0, 0.8])
    assert half.encode(normals).flatten().tolist() == pytest.approx([0.6, 0, 0.6])
    for codec in (lotus, half, TargetCodec('normals', axes='BDR')):
        torch.testing.assert_close(codec.decode(codec.encode(normals)), normals)
        torch.testing.assert_close(codec.to_maps(codec.encode(normals)), normals)


def test_decoded_normals_are_clamped():
    image = torch.tensor([3.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    assert TargetCodec('normals').decode(image).flatten().tolist() == pytest.approx([0.5**0.5, 0, 0.5**0.5])


def test_axes_are_for_normals():
    with pytest.raises(ValueError, match="axes='LUB'.*'F'"):
        TargetCodec('F', axes='LUB')
    with pytest.raises(ValueError, match="axes='RLU'"):
        TargetCodec('normals', axes='RLU')
