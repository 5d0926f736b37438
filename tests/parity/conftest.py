import runpy
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def convert_checkpoint():
    """Run ``tools/convert_checkpoint.py`` with arguments."""

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', ['convert_checkpoint.py', *map(str, arguments)])
            runpy.run_path(str(REPOSITORY / 'tools' / 'convert_checkpoint.py'), run_name='__main__')

    return run


@pytest.fixture(scope='session')
def shipped_config():
    """The config of VPD segmentation as it ships."""
    return REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'
