import pytest
import torch

from mmdiffperc.models import LatentAutoencoder
from mmdiffperc.models.layers.memory_format import best_format


@pytest.mark.parametrize(
    ('part', 'dtype', 'expected'),
    [
        ('autoencoder', torch.float32, torch.contiguous_format),
        ('unet', torch.float32, torch.contiguous_format),
        ('autoencoder', torch.bfloat16, torch.channels_last),
        ('unet', torch.bfloat16, torch.contiguous_format),
        ('unet', torch.float64, torch.contiguous_format),
    ],
)
def test_format_on_a_cpu(part, dtype, expected):
    assert best_format(part, torch.zeros(1, dtype=dtype)) is expected
    assert best_format(part, torch.zeros(1, dtype=dtype, device='meta')) is torch.contiguous_format


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_the_autoencoder_computes_in_it(arch, dtype):
    autoencoder, strides = LatentAutoencoder(arch, dtype=dtype), []
    autoencoder.vae.encoder.conv_in.register_forward_hook(lambda module, args, output: strides.append(output.stride(1)))
    assert autoencoder.encode(torch.zeros(1, 3, 24, 40)).is_contiguous()
    assert strides == [1 if dtype == 'bfloat16' else 24 * 40]
