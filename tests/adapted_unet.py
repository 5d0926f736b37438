"""The U-Net of tiny-sd with an adapter that changes something."""

import re

import torch

from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import add_attention_lora

TINY_SD = 'tiny-sd'


def make_unet(arch=TINY_SD, **lora):
    torch.manual_seed(0)  # the same base each time
    unet = build_unet(arch).eval()
    if lora:
        add_attention_lora(unet, **lora)
        for name, weight in unet.named_parameters():
            if '.lora_B.' in name:  # starts at zero, as if there were no adapter
                torch.nn.init.normal_(weight, std=0.3)
    return unet


@torch.no_grad()
def output_of(unet):
    generator = torch.Generator().manual_seed(1)
    latents, prompts = torch.randn(1, 8, 8, 16, generator=generator), torch.randn(1, 5, 96, generator=generator)
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
