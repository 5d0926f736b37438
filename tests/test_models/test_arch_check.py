import json
from pathlib import Path

import pytest
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.stable_diffusion import build_unet, build_vae

SDXL = dict(
    addition_embed_type='text_time',
    addition_time_embed_dim=32,
    projection_class_embeddings_input_dim=288,
    in_channels=4,
)


def write(folder, part, **changes):
    arch = write_arch(folder)
    path = Path(arch, part, 'config.json')
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return arch


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (SDXL, "addition_embed_type='text_time'"),
        (dict(in_channels=9), 'in_channels=9.* 4 '),  # inpainting
        (dict(in_channels=8), 'in_channels=8.* 4 '),  # instruct-pix2pix
        (dict(out_channels=8), 'out_channels=8.* 4 '),
        (dict(in_channels=7, num_class_embeds=1000), 'num_class_embeds=1000'),  # the x4 upscaler
        (dict(class_embed_type='projection'), "class_embed_type='projection'"),
        (dict(encoder_hid_dim=1024), 'encoder_hid_dim=1024'),
        (dict(encoder_hid_dim_type='image_proj', encoder_hid_dim=1280), 'encoder_hid_dim'),
        (dict(time_cond_proj_dim=256), 'time_cond_proj_dim=256'),  # latent consistency models
        (dict(cross_attention_dim=[12, 12, 12, 12]), 'cross_attention_dim=list of 4'),
    ],
)
def test_unet_that_needs_other_inputs(tmp_path, changes, named):
    with pytest.raises(ValueError, match=rf'unet/config\.json: {named}'):
        DiffusionUNet(write(tmp_path, 'unet', **changes))


def test_latents_are_those_of_the_autoencoder(tmp_path):
    with pytest.raises(ValueError, match=r'unet/config\.json: in_channels=4.* 16 '):
        build_unet(write(tmp_path, 'vae', latent_channels=16))


def test_autoencoder_of_other_images(tmp_path):
    with pytest.raises(ValueError, match=r'vae/config\.json: in_channels=1: .* 3 '):
        build_vae(write(tmp_path, 'vae', in_channels=1))


def test_entries_that_are_null_ask_for_nothing(tmp_path):
    assert build_unet(write(tmp_path, 'unet', addition_embed_type=None, class_embed_type=None)).config.in_channels == 4
