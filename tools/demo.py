"""The main job in miniature: fine-tune a diffusion model for semantic segmentation, test it, draw what it learnt.

Nothing is downloaded: tiny-sd comes with the package, and the toy scenes are made here. The three ``mim`` commands
are what a user types for any other config; each is printed before it runs.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-128x128.py'
DATA = 'data/toy'
WORK_DIR = 'work_dirs/demo'
FIGURE = f'{WORK_DIR}/demo.png'


def run(*command: str):
    """Print a command and run it in the repository's root; its programs are those of this Python's environment."""
    print(f'\n$ {shlex.join(command)}', flush=True)
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    subprocess.run(command, cwd=ROOT, check=True, env=dict(os.environ, PATH=path))


def latest_results(work_dir: str) -> dict:
    """Metrics of the latest test whose ``--work-dir`` this was, as mmengine wrote them."""
    return json.loads(max((ROOT / work_dir).glob('*/*.json')).read_text())


def main():
    """Make scenes, train, test twice, draw."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checkpoint = f'{WORK_DIR}/iter_1800.pth'
    run('python', 'tools/make_toy_scenes.py', DATA, '--formats', 'ade', '--workers', '2')
    run('mim', 'train', 'mmseg', CONFIG, '--work-dir', WORK_DIR)
    run('mim', 'test', 'mmseg', CONFIG, '--checkpoint', checkpoint, '--work-dir', f'{WORK_DIR}/single-scale')
    run('mim', 'test', 'mmseg', CONFIG, '--checkpoint', checkpoint, '--work-dir', f'{WORK_DIR}/multi-scale', '--tta')
    run('python', 'tools/draw_predictions.py', CONFIG, checkpoint, '--out', FIGURE)
    single, multi = (latest_results(f'{WORK_DIR}/{name}') for name in ('single-scale', 'multi-scale'))
    print(f'\nmIoU {single["mIoU"]:.1f} single-scale, {multi["mIoU"]:.1f} multi-scale + flip. Look at {FIGURE}')


if __name__ == '__main__':
    main()
