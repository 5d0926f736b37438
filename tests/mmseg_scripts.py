"""The scripts that ``mim train mmseg`` and ``mim test mmseg`` run, in this process."""

import runpy
import sys
from pathlib import Path

import mmseg
import pytest
from mmseg.visualization import SegLocalVisualizer

SCRIPTS = Path(mmseg.__file__).parent / '.mim' / 'tools'


def run(script, *arguments):
    """Run ``train.py`` or ``test.py``."""
    # All of mmseg's configs give the visualizer one name, and mmengine gives a second runner the first one's of that
    # name, which writes into the first one's folder.
    SegLocalVisualizer._instance_dict.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name='__main__')
