import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

from mmdiffperc.weights.compvis import PREFIXES, unet_key_map
from mmdiffperc.weights.families import describe_family

UNET = dict(
    down_block_types=['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types=['UpBlock2D', 'CrossAttnUpBlock2D'],
    block_out_channels=[8, 16],
    norm_num_groups=4,
    attention_head_dim=4,
    layers_per_block=1,
)


def unet(**changes):
    with torch.device('meta'):
        return UNet2DConditionModel(**UNET | dict(cross_attention_dim=768) | changes)


def shapes_of(module):
    return {name: tuple(weight.shape) for name, weight in module.state_dict().items()}


@pytest.mark.parametrize(
    ('width', 'words', 'advice'),
    [
        (768, 'Stable Diffusion 1.x', "'sd1-5'"),
        (1024, 'Stable Diffusion 2.x', "'sd2-1'"),
        (1280, 'the refiner of SDXL', "base model, with arch='sdxl'"),
        (2048, 'SDXL', "'sdxl'"),
    ],
)
def test_versions_of_the_u_net(width, words, advice):
    sizes = dict(addition_embed_type='text_time', addition_time_embed_dim=8, projection_class_embeddings_input_dim=64)
    network = unet(cross_attention_dim=width, **sizes if width > 1024 else {})
    shapes = shapes_of(network)
    original = {PREFIXES['unet'] + key: shapes[name] for name, key in unet_key_map(network.config).items()}
    for family in (describe_family(shapes), describe_family(original)):
        assert family.name == words and advice in family.advice


@pytest.mark.parametrize(
    ('width', 'words'), [(768, 'Diffusion 1.x'), (1024, 'Diffusion 2.x'), (1280, 'SDXL'), (20, 'width 20')]
)
@pytest.mark.parametrize('name', ['embeddings.token_embedding.weight', 'cond_stage_model.model.token_embedding.weight'])
def test_text_encoders(name, width, words):
    assert words in describe_family({name: (49408, width)}).name


def test_autoencoders():
    with torch.device('meta'):
        usual = AutoencoderKL(block_out_channels=[8], norm_num_groups=4, latent_channels=16)
        tiny = AutoencoderTiny()
    assert '16 latent' in describe_family(shapes_of(usual)).name
    assert 'taesd' in describe_family(shapes_of(tiny)).advice


def test_another_width():
    family = describe_family(shapes_of(unet(cross_attention_dim=96, in_channels=8)))
    assert family.name == 'a U-Net for prompts of width 96 with 8 input channels'
    assert 'extra_latents' not in family.advice


@pytest.mark.parametrize(
    ('changes', 'words', 'argument'),
    [
        (dict(in_channels=9), 'inpainting', 'extra_latents'),
        (dict(in_channels=8), 'Marigold', 'extra_latents'),
        (dict(in_channels=12), 'intrinsic', 'extra_latents'),
        (dict(time_cond_proj_dim=256), 'consistency', 'guidance_scale'),
        (dict(class_embed_type='projection', projection_class_embeddings_input_dim=4), 'Lotus', 'task_embedding'),
        (dict(class_embed_type='projection', projection_class_embeddings_input_dim=2048), 'unCLIP', 'arch'),
        (
            dict(addition_embed_type='text_time', addition_time_embed_dim=8, projection_class_embeddings_input_dim=64),
            'additional',
            'arch',
        ),
        (dict(encoder_hid_dim=32, encoder_hid_dim_type='image_proj'), 'Kandinsky', 'arch'),
    ],
)
def test_kinds_of_networks(changes, words, argument):
    family = describe_family(shapes_of(unet(**changes)))
    assert words in family.name and argument in family.advice


@pytest.mark.parametrize(
    ('key', 'words'),
    [
        ('image_proj.proj.weight', 'IP-Adapter'),
        ('ip_adapter.1.to_k_ip.weight', 'IP-Adapter'),
        ('control_model.input_blocks.0.0.weight', 'ControlNet'),
        ('down_blocks.0.motion_modules.0.norm.weight', 'AnimateDiff'),
        ('model.diffusion_model.double_blocks.0.img_attn.qkv.weight', 'FLUX'),
    ],
)
def test_other_models(key, words):
    assert words in describe_family({key: (4, 4, 3, 3)}).name


def test_unknown():
    assert describe_family({'weight': (2, 3)}) is None
