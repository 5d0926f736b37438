import re

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from mmdiffperc.models.lora import FILE_NAMES, add_attention_lora, find_lora, load_lora, save_lora
from mmdiffperc.models.stable_diffusion import build_unet

TINY_SD = 'tiny-sd'


def make_unet(**lora):
    torch.manual_seed(0)  # the same base each time
    unet = build_unet(TINY_SD).eval()
    if lora:
        add_attention_lora(unet, **lora)
        for name, weight in unet.named_parameters():
            if '.lora_B.' in name:  # starts at zero, as if there were no adapter
                torch.nn.init.normal_(weight, std=0.3)
    return unet


@torch.no_grad()
def output_of(unet):
    generator = torch.Generator().manual_seed(1)
    latents, prompts = torch.randn(1, 4, 8, 16, generator=generator), torch.randn(1, 5, 96, generator=generator)
    return unet(latents, 300, encoder_hidden_states=prompts).sample


def trained(unet):
    return {name for name, weight in unet.named_parameters() if weight.requires_grad}


def to_old_layout(unet):
    """As the attention processors of diffusers 0.20 had it, whose scaling is 1."""
    weights = {}
    for name in trained(unet):
        layer, projection, part = re.fullmatch(
            r'(.+)\.to_(q|k|v|out)(?:\.0)?\.lora_(A|B)\.default\.weight', name
        ).groups()
        old = f'{layer}.processor.to_{projection}_lora.{"down" if part == "A" else "up"}.weight'
        weights[old] = unet.get_parameter(name).detach()
    return weights


def test_adapts_attention_and_nothing_else():
    every, own = trained(make_unet(r=2)), trained(make_unet(r=2, attention='self'))
    assert all('.lora_' in name for name in every)
    assert own == {name for name in every if '.attn1.' in name} and 2 * len(own) == len(every)


def test_starts_as_in_the_official_code():
    unet = build_unet(TINY_SD)
    add_attention_lora(unet, r=4)
    down = torch.cat([w.flatten() for name, w in unet.named_parameters() if '.lora_A.' in name])
    assert down.std().item() == pytest.approx(1 / 4, rel=0.03)
    assert all((w == 0).all() for name, w in unet.named_parameters() if '.lora_B.' in name)


@pytest.mark.parametrize('lora', [dict(r=3), dict(r=2, attention='self', lora_alpha=5)])
def test_save_and_load(tmp_path, lora):
    unet, other = make_unet(**lora), make_unet(r=7)
    save_lora(unet, tmp_path)
    assert not torch.allclose(output_of(other), output_of(unet), atol=1e-2)
    load_lora(other, tmp_path)
    torch.testing.assert_close(output_of(other), output_of(unet))
    assert trained(other) == trained(unet)


def test_plain_pipeline_loads_ours(tmp_path):
    unet = make_unet(r=3, lora_alpha=6)
    save_lora(unet, tmp_path)
    plain = make_unet()
    pipeline = StableDiffusionPipeline(None, None, None, plain, None, None, None, requires_safety_checker=False)
    pipeline.load_lora_weights(tmp_path)
    torch.testing.assert_close(output_of(pipeline.unet), output_of(unet))


@pytest.mark.parametrize(
    ('attention', 'file_name'),
    [
        ('all', 'pytorch_lora_weights.safetensors'),
        ('self', 'pytorch_lora_weights.bin'),
        ('self', 'pytorch_model.bin'),
    ],
)
def test_released_layout(tmp_path, attention, file_name):
    unet, other = make_unet(r=3, attention=attention), make_unet()
    weights = to_old_layout(unet)
    assert any(name.endswith('.attn1.processor.to_out_lora.down.weight') for name in weights)
    path = tmp_path / file_name
    save_file(weights, path) if path.suffix == '.safetensors' else torch.save(weights, path)
    load_lora(other, tmp_path)
    torch.testing.assert_close(output_of(other), output_of(unet))


def test_adapter_of_another_base(tmp_path, arch):
    other = build_unet(arch)
    add_attention_lora(other, r=2)
    save_lora(other, tmp_path)
    unet = make_unet(r=4)
    before = output_of(unet)
    with pytest.raises(ValueError, match='holds no LoRA for this U-Net; nothing was changed') as error:
        load_lora(unet, tmp_path)
    assert 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight' in str(error.value)
    assert str(error.value).count('does not go with') == 3
    torch.testing.assert_close(output_of(unet), before)


@pytest.mark.parametrize(
    ('part', 'change', 'count'),
    [
        ('.lora_B.', None, 1),
        ('.lora_A.', lambda weight: weight.repeat(2, 1), 2),
        ('.lora_B.', lambda weight: weight[0], 1),
    ],
)
def test_incomplete_adapter(tmp_path, part, change, count):
    """Without a half, with halves of different ranks, or with one of another form, it changes nothing."""
    unet = make_unet(r=3)
    save_lora(unet, tmp_path)
    weights = load_file(tmp_path / FILE_NAMES[0])
    key = next(key for key in weights if part in key)
    weight = weights.pop(key)
    if change:
        weights[key] = change(weight).contiguous()
    save_file(weights, tmp_path / FILE_NAMES[0])
    before = output_of(unet)
    with pytest.raises(ValueError, match='nothing was changed') as error:
        load_lora(unet, tmp_path)
    assert str(error.value).count('of the same rank') == count
    torch.testing.assert_close(output_of(unet), before)


def test_no_adapter(tmp_path):
    with pytest.raises(ValueError, match='no LoRA to save'):
        save_lora(make_unet(), tmp_path)
    with pytest.raises(FileNotFoundError, match='No LoRA in the folder'):
        find_lora(tmp_path)
    save_file(dict(make_unet().conv_in.state_dict()), tmp_path / 'base.safetensors')
    with pytest.raises(ValueError, match='no such layer in the U-Net'):
        load_lora(make_unet(), tmp_path / 'base.safetensors')


def test_unknown_attention():
    with pytest.raises(ValueError, match="attention='cross': expected one of all, self"):
        make_unet(attention='cross')
