"""Configuration of Sphinx. The source folder is the root of the repository: its README files are pages as they are."""

import sys
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = [ROOT / 'tools', ROOT / 'tools' / 'dataset_converters', ROOT / 'projects' / 'dmp' / 'tools']
sys.path[:0] = map(str, [ROOT, *TOOLS])  # the package of this checkout, whatever is installed

project = 'mmdiffperc'
copyright = 'the mmdiffperc authors'
release = version = run_path(str(ROOT / 'mmdiffperc' / 'version.py'))['__version__']

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
root_doc = 'docs/index'
include_patterns = [
    'docs/**',
    '*.md',
    'configs/README.md',
    'configs/**/README.md',
    'projects/**/README.md',
    'mmdiffperc/assets/demo/README.md',
    'mmdiffperc/assets/tiny-sd/README.md',
]
exclude_patterns = ['docs/_build', '.*', 'build', 'data', 'dist', 'work_dirs', '**/__pycache__']

myst_heading_anchors = 4
default_role = 'py:obj'
# Every reference must lead somewhere; those into other packages cannot be looked up without the internet.
nitpicky = True
nitpick_ignore_regex = [
    (
        'py:.*',
        r'(_thread|argparse|collections|diffusers|gr|gradio|mmcv|mmdet|mmengine|mmpose|mmseg|np|numpy|pickle|pycocotools|starlette|torch'
        r'|types)\..*',
    ),
    ('py:class', 'Path'),
]

autodoc_default_options = {
    'members': True,
    'special-members': '__call__',
    'show-inheritance': True,
    'member-order': 'bysource',
}
autodoc_typehints = 'none'  # the docstrings give them
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = 'furo'
html_title = f'mmdiffperc {release}'


def mark_commands(app, what, name, obj, options, lines):
    """Let indented lines in the docstring of a tool, which are commands or listings, be shown as they are."""
    if what == 'module' and Path(obj.__file__).parent in TOOLS:
        starts = [i for i in range(1, len(lines)) if lines[i].startswith('    ') and not lines[i - 1]]
        for start in reversed(starts):
            if not lines[start - 2].endswith('::'):
                lines[start:start] = ['.. code-block:: bash', '']


def setup(app):
    """Called by Sphinx."""
    app.connect('autodoc-process-docstring', mark_commands)
