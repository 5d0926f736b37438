"""A classifier of transformers at a tiny size, with random weights, in the formats of old and new versions."""

import re
from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification

from mmdiffperc.weights.official_checkpoints import OLD_VIT

SIZES = dict(
    hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
)
VIT = dict(SIZES, num_labels=7)


def save_vit(folder: Path, old_names: bool = False, **changes) -> Path:
    """Write a folder; one of an old version of transformers holds a pickle."""
    torch.manual_seed(1)
    network = ViTForImageClassification(ViTConfig(**VIT | changes))
    network.save_pretrained(folder)
    if old_names:
        (folder / 'model.safetensors').unlink()
        torch.save({in_old_names(name): weight for name, weight in network.state_dict().items()}, folder / OLD_FILE)
    return folder


OLD_FILE = 'pytorch_model.bin'


def in_old_names(name: str) -> str:
    """The name of a weight in versions of transformers before 5."""
    name = f'vit_model.{name}'
    for pattern, replacement in OLD_VIT.items():
        name = re.sub(pattern, replacement, name)
    return name.removeprefix('vit_model.')
