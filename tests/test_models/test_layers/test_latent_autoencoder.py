import pytest
import torch
from diffusers import AutoencoderTiny

from mmdiffperc.models import LatentAutoencoder
from mmdiffperc.weights.architectures import build_vae
from mmdiffperc.weights.loading import load_weights


@pytest.mark.parametrize('factor', [1, 0.18215])
def test_encode_is_the_mode_of_the_posterior(arch, factor):
    vae = build_vae(arch).eval()
    autoencoder = LatentAutoencoder(arch, scale_latents=factor != 1)
    autoencoder.vae.load_state_dict(vae.state_dict(), strict=False)
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    with torch.no_grad():
        moments = vae.quant_conv(vae.encoder(images))
    torch.testing.assert_close(autoencoder.encode(images), moments[:, :4] * factor)


def test_sides_are_padded_with_mid_grey(arch):
    autoencoder = LatentAutoencoder(arch)
    images = torch.rand(1, 3, 19, 42) * 2 - 1
    padded = torch.zeros(1, 3, 24, 48)
    padded[..., :19, :42] = images
    torch.testing.assert_close(autoencoder.encode(images), autoencoder.encode(padded))
    assert autoencoder.encode(images).shape == (1, 4, 3, 6)


@pytest.mark.parametrize(('name', 'stride'), [('sd1', 8), ('three levels', 4)])
def test_stride(archs, name, stride):
    autoencoder = LatentAutoencoder(archs[name])
    assert autoencoder.stride == stride
    assert autoencoder.encode(torch.zeros(1, 3, 48, 16)).shape == (1, 4, 48 // stride, 16 // stride)


def test_never_trains(arch):
    autoencoder = LatentAutoencoder(arch).train()
    assert not any(module.training for module in autoencoder.modules())
    assert not any(weight.requires_grad for weight in autoencoder.parameters())
    images = torch.zeros(1, 3, 16, 8, requires_grad=True)
    assert not autoencoder.encode(images).requires_grad


def test_the_decoder_is_kept_on_demand(arch):
    names = set(LatentAutoencoder(arch, with_decoder=True).state_dict())
    encoder_names = set(LatentAutoencoder(arch).state_dict())
    assert encoder_names < names
    assert all(name.startswith(('vae.decoder.', 'vae.post_quant_conv.')) for name in names - encoder_names)


def test_decode_inverts_encode():
    """With the pre-trained weights of tiny-sd, an image comes back, and padding stays at the bottom and the right."""
    autoencoder = LatentAutoencoder('tiny-sd', scale_latents=True, with_decoder=True)
    load_weights('tiny-sd', vae=autoencoder.vae)
    image = torch.linspace(-0.5, 0.5, 44).expand(1, 3, 60, 44)
    decoded = autoencoder.decode(autoencoder.encode(image))
    assert decoded.shape == (1, 3, 64, 48)
    assert (decoded[..., :60, :44] - image).abs().mean() < 0.1


@pytest.fixture
def tiny_autoencoder(arch, tmp_path):
    """A TAESD in small, beside the U-Net of ``arch``."""
    settings = dict(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    torch.manual_seed(3)
    vae = AutoencoderTiny(**settings).eval()
    vae.save_pretrained(tmp_path / 'taesd')
    return vae, dict(unet=arch, vae=str(tmp_path / 'taesd'))


@pytest.mark.parametrize('scale_latents', [True, False])
def test_tiny_autoencoder_imitates_scaled_latents(tiny_autoencoder, scale_latents):
    vae, parts = tiny_autoencoder
    autoencoder = LatentAutoencoder(parts, scale_latents, with_decoder=True)
    load_weights(dict(vae=parts['vae']), vae=autoencoder.vae)
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    latents = autoencoder.encode(images)
    with torch.no_grad():
        expected = vae.encode(images).latents
        torch.testing.assert_close(latents, expected if scale_latents else expected / 0.18215)
        torch.testing.assert_close(autoencoder.decode(latents), vae.decode(expected).sample)
    assert autoencoder.stride == 8 and latents.shape == (2, 4, 3, 5)
    assert not any('decoder' in name for name in LatentAutoencoder(parts).state_dict())


def test_preset_of_the_tiny_autoencoder():
    with torch.device('meta'):
        autoencoder = LatentAutoencoder(dict(unet='sd1-5', vae='taesd'))
    assert sum(weight.numel() for weight in autoencoder.parameters()) == 1_222_532
    with pytest.raises(ValueError, match='taesd'):
        LatentAutoencoder('taesd')


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize(('dtype', 'bound'), [('bfloat16', 0.05), ('float16', 0.005), ('float32', 1e-6)])
def test_own_type(dtype, bound, autocast):
    """In a model of any precision and in autocast, the autoencoder computes in its own type."""
    single = LatentAutoencoder('tiny-sd')
    load_weights('tiny-sd', vae=single.vae)
    own = LatentAutoencoder('tiny-sd', dtype=dtype)
    own.load_state_dict(single.state_dict())
    images, used = torch.rand(2, 3, 24, 40) * 2 - 1, []
    own.vae.encoder.conv_norm_out.register_forward_hook(lambda module, args, output: used.append(output.dtype))
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        latents = own.encode(images)
        halved = own.encode(images.half())
    expected = single.encode(images)
    assert {weight.dtype for weight in own.parameters()} == {getattr(torch, dtype)} == set(used)
    assert latents.dtype == torch.float32 and halved.dtype == torch.float16
    assert latents.is_contiguous()
    error = (latents - expected).norm() / expected.norm()
    assert bound / 100 < error < bound or dtype == 'float32' and error == 0


def test_own_type_of_a_tiny_autoencoder(tiny_autoencoder):
    autoencoder = LatentAutoencoder(tiny_autoencoder[1], dtype='bfloat16')
    single = LatentAutoencoder(tiny_autoencoder[1], tiling=1)
    single.load_state_dict(autoencoder.state_dict())
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    latents, expected = autoencoder.encode(images), single.encode(images)
    assert latents.dtype == torch.float32
    assert (latents - expected).norm() < 0.05 * expected.norm()


def test_own_type_takes_floating_point_numbers_only(arch):
    with pytest.raises(TypeError, match='floating-point.*uint8'):
        LatentAutoencoder(arch, dtype='bfloat16').encode(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
