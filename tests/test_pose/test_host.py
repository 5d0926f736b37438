"""Without mmpose the sub-package says so."""

import subprocess
import sys

HIDE = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition('.')[0] == 'mmpose' else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hidden
import mmdiffperc.pose
"""


def test_missing_host_is_named():
    result = subprocess.run([sys.executable, '-c', HIDE], capture_output=True, text=True)
    assert result.stderr.strip().endswith("ModuleNotFoundError: No module named 'mmpose'")
