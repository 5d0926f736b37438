from pathlib import Path

import pytest
from logs import heard

from mmdiffperc.weights.recipes import warn_of_other_settings

DEFAULTS = dict(timestep=1, scale_latents=False)


@pytest.mark.parametrize(
    ('path', 'settings', 'words'),
    [
        ('CompVis/cleandift_sd21_unet.safetensors', DEFAULTS, 'timestep=261, scale_latents=True'),
        (
            'CleanDIFT/unet/model.safetensors',
            dict(timestep=261, scale_latents=False),
            'scale_latents',
        ),
        ('models--x--lotus-depth-d/snapshots/1/unet/model.safetensors', DEFAULTS, 'timestep=999'),
        ('marigold-e2e-ft-depth/unet/diffusion_pytorch_model.safetensors', dict(timestep=1), 'timestep=999'),
    ],
)
def test_other_settings_than_in_training(caplog, path, settings, words):
    with heard(caplog):
        warn_of_other_settings(Path('/models') / path, settings)
    (message,) = caplog.messages
    assert path in message and words in message


@pytest.mark.parametrize(
    ('path', 'settings'),
    [
        ('cleandift_sd21_unet.safetensors', dict(timestep=261, scale_latents=True)),
        ('cleandift_sd21_unet.safetensors', dict(scale_latents=True)),  # with a learned timestep
        ('cleandift/experiments/sd/unet/diffusion_pytorch_model.safetensors', DEFAULTS),
        ('v1-5-pruned.safetensors', DEFAULTS),
    ],
)
def test_no_warning(caplog, path, settings):
    with heard(caplog):
        warn_of_other_settings(Path('/models') / path, settings)
    assert not caplog.messages
