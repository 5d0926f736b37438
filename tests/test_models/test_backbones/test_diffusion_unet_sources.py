"""Weights of a whole backbone from several sources."""

import pytest
import torch
from diffusers import AutoencoderTiny
from logs import heard
from safetensors.torch import save_file
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import build_text_encoder, build_unet, build_vae
from mmdiffperc.weights.lora import add_attention_lora, save_lora

PROMPTS = dict(type='ClassPrompts', classes=['road', 'tram'])


@pytest.fixture
def sources(tmp_path):
    """An architecture, the bare U-Net of one model, and the folder with the other parts of another model."""
    torch.manual_seed(1)
    arch = write_arch(tmp_path / 'arch')
    unet = build_unet(arch)
    save_file(unet.state_dict(), tmp_path / 'cleandift_sd15_unet.safetensors')
    build_vae(arch).save_pretrained(tmp_path / 'sd' / 'vae')
    build_text_encoder(arch).save_pretrained(tmp_path / 'sd' / 'text_encoder')
    folder = str(tmp_path / 'sd')
    bare = str(tmp_path / 'cleandift_sd15_unet.safetensors')
    return arch, unet, dict(unet=bare, vae=folder, text_encoder=folder)


def init(arch, checkpoint, lora=None, **arguments):
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint) | (dict(lora=lora) if lora else {})
    backbone = DiffusionUNet(arch, prompts=PROMPTS, init_cfg=init_cfg, **arguments)
    backbone.init_weights()
    return backbone


def test_parts_of_two_models(sources, caplog):
    arch, unet, parts = sources
    with heard(caplog):
        backbone = init(arch, parts)
        assert 'CleanDIFT' in caplog.text and 'timestep=261' in caplog.text
        caplog.clear()
        init(arch, parts, timestep=261, scale_latents=True)
        assert not caplog.messages
    assert torch.equal(backbone.unet.conv_in.weight, unet.conv_in.weight)
    assert backbone.prompts.embeddings.any() and backbone.is_init


@pytest.mark.parametrize('part', ['vae', 'text_encoder'])
def test_a_part_without_a_source(sources, part):
    arch, _, parts = sources
    del parts[part]
    with pytest.raises(FileNotFoundError, match=f'add a source of {part}'):
        init(arch, parts)


def test_adapter(sources, tmp_path):
    """Fused into the weights of a backbone without one, and loaded into the one that it has."""
    arch, unet, parts = sources
    add_attention_lora(unet, r=2)
    for name, weight in unet.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(weight)
    save_lora(unet, tmp_path)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    plain, fused = init(arch, parts).eval(), init(arch, parts, lora=str(tmp_path)).eval()
    init_cfg = dict(type='Pretrained', checkpoint=parts, lora=str(tmp_path))
    adapted = DiffusionUNet(arch, prompts=PROMPTS, init_cfg=init_cfg, lora=dict(r=2)).eval()
    adapted.init_weights()
    with torch.no_grad():
        before, after, with_adapter = (backbone(images)[0] for backbone in (plain, fused, adapted))
    assert not torch.allclose(before, after, atol=1e-2)
    torch.testing.assert_close(with_adapter, after)
    assert fused.state_dict().keys() == plain.state_dict().keys()


def test_tiny_autoencoder(sources, tmp_path):
    arch, _, parts = sources
    tiny = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    tiny.save_pretrained(tmp_path / 'taesd')
    taesd = str(tmp_path / 'taesd')
    backbone = init(dict(unet=arch, vae=taesd), parts | dict(vae=taesd))
    assert torch.equal(backbone.autoencoder.vae.encoder.layers[0].weight, tiny.encoder.layers[0].weight)
    features = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(feature.shape[2:]) for feature in features] == [(8, 12), (4, 6), (2, 3), (1, 2)]
    assert backbone.out_strides == (8, 16, 32, 64)
