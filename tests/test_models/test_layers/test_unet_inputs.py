"""Equal to the same call of diffusers' own U-Net."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from tiny_arch import write_arch

from mmdiffperc.generative.diffusion_networks import DiffusionNetworks
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.config_checks import EXTRA_LATENTS
from mmdiffperc.models.layers.unet_inputs import guidance_embedding
from mmdiffperc.weights.architectures import build_unet

SCALE = 0.18215
LOTUS = dict(class_embed_type='projection', projection_class_embeddings_input_dim=4)
LCM = dict(time_cond_proj_dim=6)


@pytest.fixture
def arch_with(tmp_path):
    def write(**changes):
        arch = write_arch(tmp_path / 'arch')
        path = Path(arch, 'unet', 'config.json')
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return arch

    return write


def run_both(arch, latents_of=lambda latents: latents, **arguments):
    """Run the backbone, and diffusers' U-Net with the same weights on ``latents_of`` the unscaled latents."""
    labels = arguments.pop('labels', None)
    guidance = arguments.pop('guidance', None)
    sizes = arguments.pop('sizes', None)
    backbone = DiffusionUNet(arch, timestep=261, out_indices=(0,), **arguments).eval()
    unet = build_unet(arch).eval()
    unet.load_state_dict(backbone.unet.state_dict(), strict=False)
    features = []
    unet.up_blocks[-1].register_forward_hook(lambda module, inputs, output: features.append(output))
    images = torch.rand(2, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        (feature,) = backbone(images)
        latents = latents_of(backbone.autoencoder.vae.encode(images).latent_dist.mode())
        prompts = backbone.prompts(2)
        added = dict(text_embeds=backbone.prompts.embed_pooled(2), time_ids=sizes)
        unet(latents, 261, prompts, class_labels=labels, timestep_cond=guidance, added_cond_kwargs=added)
    torch.testing.assert_close(feature, features[0])
    return backbone, latents


@pytest.mark.parametrize(
    ('preset', 'channels', 'image', 'at', 'zeros'),
    [
        ('marigold', 8, SCALE, slice(0, 4), None),
        ('marigold', 12, SCALE, slice(0, 4), None),  # intrinsic decomposition: two targets
        ('e2e-ft', 8, SCALE, slice(0, 4), slice(4, 8)),
        ('instruct-pix2pix', 8, 1, slice(4, 8), None),
        ('inpainting', 9, SCALE, slice(0, 4), slice(4, 5)),
        (('zeros', 'image'), 8, 1, slice(4, 8), slice(0, 4)),
    ],
)
def test_extra_latents(arch_with, preset, channels, image, at, zeros):
    arch = arch_with(in_channels=channels, out_channels=channels - 4 if channels == 12 else 4)
    made = []

    def latents_of(latents):
        backbone = DiffusionUNet(arch, extra_latents=preset)
        made.append((latents, backbone.inputs(latents)))
        return made[0][1]

    run_both(arch, latents_of, extra_latents=preset)
    latents, whole = made[0]
    assert whole.shape == (2, channels, 8, 12)
    assert torch.equal(whole[:, at], latents * image)
    if zeros:
        assert not whole[:, zeros].any()
    if 'noise' in EXTRA_LATENTS.get(preset, ()):
        noise = whole[:, 4:] if at.start == 0 else whole[:, :4]
        assert torch.equal(noise[0], noise[1]) and 0.8 < noise.std() < 1.2
    if preset == 'inpainting':
        assert torch.equal(whole[:, :4], whole[:, 5:])


def test_guidance_of_a_latent_consistency_model(arch_with):
    expected = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([7.5 - 1]), 6)
    torch.testing.assert_close(guidance_embedding(7.5, 6), expected)
    odd = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([0.0]), 7)
    torch.testing.assert_close(guidance_embedding(1.0, 7), odd)
    backbone, _ = run_both(arch_with(**LCM), guidance=expected.expand(2, -1), guidance_scale=7.5)
    assert not any('inputs' in name for name in backbone.state_dict())


def test_task_of_lotus(arch_with):
    numbers = torch.tensor([[1.0, 0.0]])
    labels = torch.cat([numbers.sin(), numbers.cos()], dim=-1).expand(2, -1)
    run_both(arch_with(**LOTUS), labels=labels, task_embedding=(1, 0))


@pytest.mark.parametrize(
    ('arguments', 'sizes'),
    [
        ({}, [64.0, 96, 0, 0, 64, 96]),
        (dict(time_ids=(1024, 768, 8, 16, 512, 384)), [1024.0, 768, 8, 16, 512, 384]),
        (dict(prompts=dict(type='MetaPrompts', num_prompts=5)), [64.0, 96, 0, 0, 64, 96]),
    ],
)
def test_sizes_and_pooled_embedding_of_sdxl(archs, arguments, sizes):
    backbone, _ = run_both(archs['sdxl'], sizes=torch.tensor([sizes] * 2), **arguments)
    assert backbone.prompts.embed_pooled(2).shape == (2, 14)


def test_half_precision_does_not_round_the_sizes(archs):
    inputs = DiffusionUNet(archs['sdxl']).inputs
    added = inputs.conditions(2, torch.zeros(2, 14, dtype=torch.bfloat16), (1021, 1365))['added_cond_kwargs']
    assert added['time_ids'].tolist() == [[1021, 1365, 0, 0, 1021, 1365]] * 2


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(in_channels=8), 'in_channels=8.*extra_latents.*marigold'),
        (dict(in_channels=9), 'in_channels=9.*extra_latents.*inpainting'),
        (LCM, 'time_cond_proj_dim=6.*guidance_scale'),
        (LOTUS, "class_embed_type='projection'.*task_embedding"),
    ],
)
def test_inputs_have_no_default(arch_with, changes, words):
    arch = arch_with(**changes)
    with pytest.raises(ValueError, match=words):
        DiffusionUNet(arch)
    with pytest.raises(ValueError, match='generator'):
        DiffusionNetworks.build(arch)


def test_a_generator_cannot_be_sdxl(tmp_path):
    """It is refused before anything is built: here, a text encoder is missing."""
    arch = write_arch(tmp_path, 'sdxl')
    shutil.rmtree(tmp_path / 'text_encoder')
    with pytest.raises(ValueError, match="addition_embed_type='text_time'.*generator"):
        DiffusionNetworks.build(arch)


@pytest.mark.parametrize(
    ('changes', 'arguments', 'words'),
    [
        ({}, dict(extra_latents='marigold'), "extra_latents='marigold'.*in_channels"),
        ({}, dict(guidance_scale=8.0), 'guidance_scale=8.0.*time_cond_proj_dim'),
        (dict(in_channels=8), dict(extra_latents='inpainting'), "'scaled image', 'zeros', .* 8 input"),
        (dict(in_channels=9), dict(extra_latents=['image', 'image']), "'image', 'image'.* 9 input"),
        (dict(in_channels=12), dict(extra_latents=['noise', 'image', 'zeros']), "'noise', 'image', 'zeros'"),
        (dict(in_channels=8), dict(extra_latents='marigold', scale_latents=True), 'scale_latents'),
        (dict(in_channels=8), dict(extra_latents='marigold', noise='fixed'), "noise='fixed'"),
        (dict(in_channels=8), dict(extra_latents='marigold', num_refine_steps=2), 'num_refine_steps=2'),
        ({}, dict(time_ids=(8, 8, 0, 0, 8, 8)), r'time_ids=\(8, 8, 0, 0, 8, 8\).*addition_embed_type'),
        ({}, dict(time_ids=(8, 8)), r'time_ids=\(8, 8\).*6 whole numbers'),
        (LCM, dict(guidance_scale=8.0, learned_timesteps=True), 'learned_timesteps'),
    ],
)
def test_inputs_that_do_not_fit(arch_with, changes, arguments, words):
    with pytest.raises(ValueError, match=words):
        DiffusionUNet(arch_with(**changes), **arguments)


def test_learned_timesteps_need_no_guidance(arch_with):
    backbone = DiffusionUNet(arch_with(**LCM), learned_timesteps=True)
    assert len(backbone(torch.zeros(1, 3, 64, 64))) == 4
