import json
from pathlib import Path

import pytest
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import build_text_encoder, build_unet, build_vae

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
        (dict(in_channels=9), 'in_channels=9.*4'),  # inpainting
        (dict(in_channels=8), 'in_channels=8.*4'),  # instruct-pix2pix
        (dict(in_channels='4'), "in_channels='4'"),
        (dict(in_channels=[4]), 'in_channels=list.*1'),
        (dict(out_channels=8), 'out_channels=8.*4'),
        (dict(in_channels=7, num_class_embeds=1000), 'num_class_embeds=1000'),  # the x4 upscaler
        (dict(class_embed_type='projection'), "class_embed_type='projection'"),
        (dict(encoder_hid_dim=1024), 'encoder_hid_dim=1024'),
        (dict(encoder_hid_dim_type='image_proj', encoder_hid_dim=1280), 'encoder_hid_dim'),
        (dict(time_cond_proj_dim=256), 'time_cond_proj_dim=256'),  # latent consistency models
        (dict(encoder_hid_dim_type='ip_image_proj'), "encoder_hid_dim_type='ip_image_proj'.*IP-Adapter"),
        (dict(dual_cross_attention=True), 'dual_cross_attention=True'),  # Versatile Diffusion
        (dict(class_embeddings_concat=True), 'class_embeddings_concat=True'),
        (dict(down_block_types=['KDownBlock2D'] + ['KCrossAttnDownBlock2D'] * 3), 'down_block_types=.*KDownBlock2D'),
        (dict(up_block_types=['KCrossAttnUpBlock2D'] * 3 + ['KUpBlock2D']), 'up_block_types=.*KCrossAttn'),
        (dict(cross_attention_dim=None), 'cross_attention_dim=None'),
        (dict(cross_attention_dim='12'), "cross_attention_dim='12'"),
        (dict(cross_attention_dim=[12, 12, 12, 12]), 'cross_attention_dim=list.*4'),
    ],
)
def test_unet_that_needs_other_inputs(tmp_path, changes, named):
    with pytest.raises(ValueError, match=rf'unet/config\.json.*{named}'):
        DiffusionUNet(write(tmp_path, 'unet', **changes))


def test_latents_are_those_of_the_autoencoder(tmp_path):
    with pytest.raises(ValueError, match=r'unet/config\.json.*in_channels=4.*16') as error:
        build_unet(write(tmp_path, 'vae', latent_channels=16))
    assert 'npainting' not in str(error.value)


def test_autoencoder_of_other_images(tmp_path):
    with pytest.raises(ValueError, match=r'vae/config\.json.*in_channels=1.*3'):
        build_vae(write(tmp_path, 'vae', in_channels=1))


def test_entries_that_are_null_ask_for_nothing(tmp_path):
    nothing = dict(addition_embed_type=None, class_embed_type=None, dual_cross_attention=False)
    assert build_unet(write(tmp_path, 'unet', **nothing)).config.in_channels == 4


@pytest.mark.parametrize('name', ['ControlNetModel', 'FlaxUNet2DConditionModel', 'UNetMotionModel'])
def test_network_of_another_kind(tmp_path, name):
    with pytest.raises(ValueError, match=rf'unet/config\.json.*UNet2DConditionModel.*{name}'):
        build_unet(write(tmp_path, 'unet', _class_name=name))


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(model_type='t5', d_model=12), "model_type='t5'.*clip_text_model"),  # DeepFloyd
        (dict(model_type='clip'), "model_type='clip'.*clip_text_model"),  # text and image side together
        (dict(hidden_size=20), 'hidden_size=20.*cross_attention_dim=12'),
    ],
)
def test_text_encoder_of_another_model(tmp_path, changes, named):
    with pytest.raises(ValueError, match=rf'text_encoder/config\.json.*{named}'):
        build_text_encoder(write(tmp_path, 'text_encoder', **changes))
