"""The scripts that ``mim train HOST`` and ``mim test HOST`` run, in this process."""

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.visualization import Visualizer


def train(host, config, work_dir, iterations, *options):
    """Train for some iterations, each logged, and validate at the end; the options are those of the config."""
    options = [f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}', *options]
    run(host, 'train.py', config, '--work-dir', work_dir, '--cfg-options', *options, 'default_hooks.logger.interval=1')


def read_log(work_dir):
    """The entries of a training's log, the validation last."""
    return [json.loads(line) for line in next(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()]


def run(host, script, *arguments):
    """Run ``train.py`` or ``test.py`` of a host."""
    forget_visualizers()
    path = Path(import_module(host).__file__).parent / '.mim' / 'tools' / script
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(path), run_name='__main__')


def forget_visualizers():
    """Let the next runner have its own visualizer, and its hooks that one.

    All of a host's configs give the visualizer one name, and mmengine gives a second runner the first one's of that
    name, which writes into the first one's folder.
    """
    kinds = [Visualizer]
    for kind in kinds:  # grows
        kind._instance_dict.clear()
        kinds += kind.__subclasses__()
