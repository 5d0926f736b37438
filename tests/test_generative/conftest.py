"""Adapters of tiny-sd that change what it predicts, and images."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdiffperc.generative import DeterministicDiffusion

TINY_SD = dict(type='Pretrained', checkpoint='tiny-sd')
RESIZE = dict(type='Resize', scale=(40, 40))


def make_config(**options) -> Config:
    """One step, and it begins where the U-Net has the most to say."""
    model = dict(
        type='DeterministicDiffusion',
        arch='tiny-sd',
        num_steps=1,
        scheduler=dict(timestep_spacing='trailing'),
        init_cfg=TINY_SD,
    )
    model.update(options)
    return Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=[RESIZE]))))


@pytest.fixture(scope='session')
def adapters(tmp_path_factory) -> list[Path]:
    """Folders of two adapters, of different ranks and layers."""
    folders = []
    for seed, lora in enumerate([dict(r=3), dict(r=2, attention='self')]):
        torch.manual_seed(seed)
        model = DeterministicDiffusion('tiny-sd', lora=lora)
        for name, weight in model.unet.named_parameters():
            if '.lora_B.' in name:
                torch.nn.init.normal_(weight, std=0.2)
        folders.append(tmp_path_factory.mktemp('lora'))
        model.save_lora(folders[-1])
    return folders
