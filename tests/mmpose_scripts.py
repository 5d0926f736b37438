"""The scripts that ``mim train mmpose`` and ``mim test mmpose`` run, in this process."""

import runpy
import sys
from pathlib import Path

import mmpose
import pytest
from mmpose.visualization import PoseLocalVisualizer

SCRIPTS = Path(mmpose.__file__).parent / '.mim' / 'tools'


def run(script, *arguments):
    """Run ``train.py`` or ``test.py``."""
    # All of mmpose's configs give the visualizer one name, and mmengine gives a second runner the first one's of that
    # name, which writes into the first one's folder.
    PoseLocalVisualizer._instance_dict.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name='__main__')
