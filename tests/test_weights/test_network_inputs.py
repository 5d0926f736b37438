import pytest
from tiny_arch import write_changed_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import build_text_encoder, build_unet, text_parts


def sizes(width):
    """The entries of SDXL, with a pooled embedding of this width."""
    return dict(
        addition_embed_type='text_time', addition_time_embed_dim=4, projection_class_embeddings_input_dim=width + 24
    )


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(addition_embed_type='text_image'), "addition_embed_type='text_image'.*Kandinsky"),
        (sizes(8), 'input_dim=32.*refiner of SDXL.*sdxl'),  # 32 - 5 * 4 = 12, the width of a prompt
        (sizes(0), r'input_dim=24.*6 \* addition_time_embed_dim=4'),
        (dict(sizes(9), addition_time_embed_dim=None), 'addition_time_embed_dim=None'),
        (dict(in_channels=3), 'in_channels=3.*4'),
        (dict(in_channels='4'), "in_channels='4'"),
        (dict(in_channels=[4]), 'in_channels=list.*1'),
        (dict(out_channels=8), 'out_channels=8.*4'),
        (dict(in_channels=7, num_class_embeds=1000), 'num_class_embeds=1000'),  # the x4 upscaler
        (dict(class_embed_type='timestep'), "class_embed_type='timestep'"),
        (dict(class_embed_type='projection', projection_class_embeddings_input_dim=2048), 'dim=2048.*unCLIP'),
        (dict(encoder_hid_dim=1024), 'encoder_hid_dim=1024'),
        (dict(encoder_hid_dim_type='image_proj', encoder_hid_dim=1280), 'encoder_hid_dim'),
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
        DiffusionUNet(write_changed_arch(tmp_path, 'unet', **changes))


def test_latents_are_those_of_the_autoencoder(tmp_path):
    with pytest.raises(ValueError, match=r'unet/config\.json.*in_channels=4.*16') as error:
        build_unet(write_changed_arch(tmp_path, 'vae', latent_channels=16))
    assert 'npainting' not in str(error.value)


def test_entries_that_are_null_ask_for_nothing(tmp_path):
    nothing = dict(addition_embed_type=None, class_embed_type=None, dual_cross_attention=False)
    assert build_unet(write_changed_arch(tmp_path, 'unet', **nothing)).config.in_channels == 4


def test_text_encoder_of_another_width(tmp_path):
    with pytest.raises(ValueError, match=r'text_encoder/config\.json.*hidden_size=20.*cross_attention_dim=12'):
        build_text_encoder(write_changed_arch(tmp_path, 'text_encoder', hidden_size=20))


@pytest.mark.parametrize(
    ('part', 'changes', 'named'),
    [
        ('text_encoder', dict(hidden_size=20), r'hidden_size=20 \+ 20.*cross_attention_dim=32'),
        ('text_encoder_2', dict(projection_dim=20), 'projection_dim=20.*14'),
    ],
)
def test_text_encoders_of_another_sdxl(tmp_path, part, changes, named):
    arch = write_changed_arch(tmp_path, part, 'sdxl', **changes)
    for name in text_parts(arch):
        with pytest.raises(ValueError, match=rf'text_encoder_2/config\.json.*{named}'):
            build_text_encoder(arch, name)
