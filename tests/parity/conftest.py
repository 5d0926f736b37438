from pathlib import Path

import pytest
import torch
from convert_checkpoint import main
from mmseg.apis import init_model

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def convert_checkpoint():
    """Run ``tools/convert_checkpoint.py`` with arguments; an error of it is one of the test."""

    def run(*arguments):
        assert main([*map(str, arguments)]) == 0, 'what is wrong stands in the captured stderr'

    return run


@pytest.fixture(scope='session')
def load_official(convert_checkpoint):
    """Save an official checkpoint in a folder, convert it for a config file, and load the result into its model."""

    def load(content, folder, config, **options):
        torch.save(content, folder / 'official.pth')
        convert_checkpoint(folder / 'official.pth', '--out-file', folder / 'ours.pth', '--config', config)
        return init_model(str(config), str(folder / 'ours.pth'), device='cpu', **options)

    return load


@pytest.fixture(scope='session')
def shipped_config():
    """The config of VPD segmentation as it ships."""
    return REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'
