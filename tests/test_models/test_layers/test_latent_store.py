"""What is stored is what would be computed, and is used for nothing else."""

from collections import Counter

import pytest
import torch
from diffusers import AutoencoderTiny
from logs import heard

from mmdiffperc.models import LatentAutoencoder
from mmdiffperc.models.layers.latent_store import LatentStore

IMAGES = torch.linspace(-1, 1, 4 * 3 * 19 * 26).view(4, 3, 19, 26).sin()


@pytest.fixture
def make(arch, tmp_path):
    """Build the same autoencoder with a store, in a folder that they share."""

    def make(seed=0, max_bytes=10**9, **options):
        torch.manual_seed(seed)
        autoencoder = LatentAutoencoder(arch, **options)
        for weight in autoencoder.vae.encoder.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        autoencoder.store = LatentStore(tmp_path, autoencoder.vae, max_bytes)
        return autoencoder

    return make


def counts(autoencoder):
    return autoencoder.store.num_read, autoencoder.store.num_encoded


def test_second_time_is_read(make):
    first, second, plain = make(), make(), make()
    plain.store = None
    encoded = first.encode(IMAGES[:2])
    assert torch.equal(encoded, plain.encode(IMAGES[:2]))
    assert torch.equal(second.encode(IMAGES[:2]), encoded)
    assert (counts(first), counts(second)) == ((0, 2), (2, 0))


def test_batch_of_old_and_new_images(make):
    autoencoder = make()
    autoencoder.encode(IMAGES[[2, 0]])
    encoded = autoencoder.encode(IMAGES)
    assert counts(autoencoder) == (2, 4)
    autoencoder.store = None
    torch.testing.assert_close(encoded, autoencoder.encode(IMAGES))


@pytest.mark.parametrize('options', [dict(seed=1), dict(input_scale=2.0)])
def test_other_autoencoder(options, make):
    make().encode(IMAGES)
    other = make(**options)
    encoded = other.encode(IMAGES)
    assert counts(other) == (0, 4)
    other.store = None
    assert torch.equal(encoded, other.encode(IMAGES))


@pytest.mark.parametrize(
    'change', [lambda images: images.flip(-1), lambda images: images[..., :18], lambda images: images + 1e-6]
)
def test_other_pixels(change, make):
    autoencoder = make()
    autoencoder.encode(IMAGES)
    encoded = autoencoder.encode(change(IMAGES))
    assert counts(autoencoder) == (0, 8)
    autoencoder.store = None
    assert torch.equal(encoded, autoencoder.encode(change(IMAGES)))


def test_precision_of_the_computation(make):
    autoencoder = make()
    autoencoder.encode(IMAGES)
    with torch.autocast('cpu', torch.bfloat16):
        encoded = autoencoder.encode(IMAGES)
        assert torch.equal(autoencoder.encode(IMAGES), encoded)
    assert counts(autoencoder) == (4, 8)
    assert not torch.equal(encoded, autoencoder.encode(IMAGES))


def test_scaling_and_decoder_share_what_is_stored(make):
    plain = make().encode(IMAGES)
    other = make(scale_latents=True, with_decoder=True)
    torch.testing.assert_close(other.encode(IMAGES), plain * other.scaling_factor)
    assert counts(other) == (4, 0)


def test_each_sample_is_a_new_one(make):
    autoencoder = make()
    samples = [autoencoder.encode(IMAGES, sample=True, generator=torch.Generator().manual_seed(n)) for n in (3, 4, 3)]
    assert counts(autoencoder) == (8, 4)
    assert torch.equal(samples[0], samples[2]) and not torch.equal(samples[0], samples[1])


def test_tiny_autoencoder(tmp_path):
    autoencoder = LatentAutoencoder(dict(unet='tiny-sd', vae='taesd'))
    assert isinstance(autoencoder.vae, AutoencoderTiny)
    autoencoder.store = LatentStore(tmp_path, autoencoder.vae, 10**9)
    encoded = autoencoder.encode(IMAGES)
    assert torch.equal(autoencoder.encode(IMAGES), encoded)
    assert counts(autoencoder) == (4, 4)


def test_damaged_file_is_replaced(make, tmp_path):
    encoded = make().encode(IMAGES)
    files = sorted(tmp_path.rglob('*.safetensors'))
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:-3])
    files[1].write_bytes(b'')
    again = make()
    torch.testing.assert_close(again.encode(IMAGES), encoded)
    assert counts(again) == (2, 2)
    assert counts(third := make()) == (0, 0) and torch.equal(third.encode(IMAGES), again.encode(IMAGES))
    assert counts(third) == (4, 0)


def test_limit(make, tmp_path, caplog):
    with heard(caplog):
        autoencoder = make(max_bytes=1)
        encoded = [autoencoder.encode(IMAGES) for _ in range(2)]
    assert Counter(path.suffix for path in tmp_path.rglob('*.*')) == {'.safetensors': 1}
    assert counts(autoencoder) == (1, 7)
    torch.testing.assert_close(*encoded)
    assert [str(tmp_path) in record.getMessage() for record in caplog.records] == [True]
