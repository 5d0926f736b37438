import pytest
import torch

from mmdiffperc.generative import TargetCodec


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
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TargetCodec(*arguments)


@pytest.mark.parametrize(('scale', 'expected'), [('per_image', [0, 0.25, 1]), (8.0, [0.1, 0.2, 0.5])])
def test_padding_does_not_count(scale, expected):
    padded = torch.tensor([[[0.1, 0.2, 0.5, 0.0], [0.9, 0.9, 0.9, 1.0]]])
    torch.testing.assert_close(TargetCodec('F', scale).crop(padded, (1, 3)), torch.tensor([[expected]]))
