import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from measuring.peak import peak_memory

from mmdiffperc.models import LatentAutoencoder
from mmdiffperc.models.layers.strips import can_encode_in_strips, encode_in_strips
from mmdiffperc.weights.architectures import build_vae
from mmdiffperc.weights.loading import load_weights


@pytest.fixture(scope='module')
def vae():
    """With weights that have been trained, so that group norms matter."""
    vae = build_vae('tiny-sd').eval().requires_grad_(False)
    load_weights('tiny-sd', vae=vae)
    return vae


@pytest.fixture
def images():
    """Two images whose contrast and colour change from the top to the bottom."""
    gradient = torch.linspace(0.1, 1, 56)[:, None]
    return (torch.rand(2, 3, 56, 40) * 2 - 1) * gradient + gradient * 0.5


@pytest.mark.parametrize('pixels', [1, 2 * 40 * 5, 2 * 40 * 24, 10**6])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_the_whole_image(vae, images, pixels, memory_format):
    """With strips of a row, of five rows, of which the last is shorter, of 24, and of all."""
    expected = vae.encode(images).latent_dist.parameters
    before = images.clone()
    found = encode_in_strips(vae, images.contiguous(memory_format=memory_format), pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.chunk(2, dim=1)[0].std() > 0.3
    assert torch.equal(images, before)


def test_half_precision(vae, images):
    """As close to single precision as the whole image in half precision."""
    expected = vae.encode(images).latent_dist.mode()
    half = build_vae('tiny-sd').eval()
    half.load_state_dict(vae.state_dict())
    half.bfloat16()
    with torch.no_grad():
        whole = half.encode(images.bfloat16()).latent_dist.mode().float()
        strips = encode_in_strips(half, images.bfloat16(), 40 * 8).chunk(2, dim=1)[0].float()
    assert (strips - expected).abs().mean() < 1.2 * (whole - expected).abs().mean()


def test_less_memory(vae):
    """Two complete tensors of the finest level and a strip, instead of four complete ones."""
    images = torch.rand(1, 3, 128, 96)
    finest = 128 * 96 * vae.config.block_out_channels[0] * 4
    whole = peak_memory(lambda: vae.encode(images))
    strips = peak_memory(lambda: encode_in_strips(vae, images, 96 * 4))
    assert whole > 3.9 * finest
    assert strips < 2.5 * finest


def test_what_has_other_layers_runs_whole(arch):
    class Sharded(ResnetBlock2D):
        """As FSDP makes one."""

    vae = build_vae(arch)
    assert can_encode_in_strips(vae)
    vae.encoder.down_blocks[1].resnets[0] = Sharded(in_channels=8, out_channels=16, temb_channels=None, groups=4)
    assert not can_encode_in_strips(vae)
    padded = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    assert can_encode_in_strips(padded)


@pytest.mark.parametrize('tiling', [1, 24 * 40, 2 * 24 * 40])
def test_tiling_of_the_autoencoder(arch, tiling, monkeypatch):
    """Strips of one image, one image at a time, and both together."""
    whole, tiled = LatentAutoencoder(arch, scale_latents=True), LatentAutoencoder(arch, True, tiling=tiling)
    tiled.load_state_dict(whole.state_dict())
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    expected = whole.encode(images)
    calls = []
    for layer, name in ((tiled.vae.encoder.conv_in, 'conv_in'), (tiled.vae.encoder, 'encoder')):
        layer.register_forward_hook(lambda module, args, output, name=name: calls.append((name, args[0].shape[0])))
    torch.testing.assert_close(tiled.encode(images), expected, rtol=1e-4, atol=1e-4)
    one_image = [('conv_in', 1), ('encoder', 1)]
    assert calls == {1: [('conv_in', 1)] * 48, 960: one_image * 2, 1920: [('conv_in', 2), ('encoder', 2)]}[tiling]
