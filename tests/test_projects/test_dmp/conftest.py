"""The scripts of ``projects/dmp/tools``, and an adapter to try them with."""

import importlib
from pathlib import Path

import pytest
import torch

from mmdiffperc.generative import DeterministicDiffusion

TOOLS = Path(__file__).parents[3] / 'projects' / 'dmp' / 'tools'


@pytest.fixture
def tool(monkeypatch):
    """Imports a script, for which its folder is where it looks for modules."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


@pytest.fixture(scope='session')
def lora(tmp_path_factory):
    """The folder of an adapter that changes something."""
    torch.manual_seed(0)
    model = DeterministicDiffusion('tiny-sd')
    for name, weight in model.unet.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_lora(folder := tmp_path_factory.mktemp('lora'))
    return folder
