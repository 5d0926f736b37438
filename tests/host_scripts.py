"""The scripts that ``mim train HOST`` and ``mim test HOST`` run, in this process."""

import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

VISUALIZERS = dict(mmseg='SegLocalVisualizer', mmpose='PoseLocalVisualizer')


def run(host, script, *arguments):
    """Run ``train.py`` or ``test.py`` of mmseg or mmpose."""
    # All of a host's configs give the visualizer one name, and mmengine gives a second runner the first one's of that
    # name, which writes into the first one's folder.
    getattr(import_module(f'{host}.visualization'), VISUALIZERS[host])._instance_dict.clear()
    path = Path(import_module(host).__file__).parent / '.mim' / 'tools' / script
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(path), run_name='__main__')
