"""The main job in miniature: fine-tune a diffusion model for semantic segmentation, test it, draw what it learnt.

Nothing is downloaded: tiny-sd comes with the package, and the toy scenes are made here. The three ``mim`` commands
are what a user types for any other config; each is printed before it runs.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from mmdiffperc.command_line import one_line_errors

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
WORK_DIR = 'work_dirs/demo'
FIGURE = f'{WORK_DIR}/demo.png'
SCENES = ('61', '60', '198', '165')  # of the validation set; chosen because the model gets their classes right


def run(*command: str):
    """Print a command and run it in the repository's root; its programs are those of this Python's environment.

    Raises:
        subprocess.CalledProcessError: It fails.
    """
    print(f'\n$ {shlex.join(command)}', flush=True)
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    with subprocess.Popen(command, cwd=ROOT, env=dict(os.environ, PATH=path), process_group=0) as process:
        try:
            status = process.wait()
        except BaseException:  # mim starts a process, which would go on
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def latest_results(work_dir: str) -> dict:
    """Return the metrics of the latest test whose ``--work-dir`` this was, as mmengine wrote them."""
    return json.loads(max((ROOT / work_dir).glob('*/*.json')).read_text())


@one_line_errors(subprocess.CalledProcessError)
def main(arguments=None):
    """Make scenes, train, test twice, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    checkpoint = f'{WORK_DIR}/iter_1800.pth'
    run('python', 'tools/make_toy_scenes.py', '--formats', 'ade', '--workers', '2')
    run('mim', 'train', 'mmseg', CONFIG, '--work-dir', WORK_DIR)
    run('mim', 'test', 'mmseg', CONFIG, '--checkpoint', checkpoint, '--work-dir', f'{WORK_DIR}/single-scale')
    run('mim', 'test', 'mmseg', CONFIG, '--checkpoint', checkpoint, '--work-dir', f'{WORK_DIR}/multi-scale', '--tta')
    run('python', 'tools/draw_predictions.py', CONFIG, checkpoint, '--indices', *SCENES, '--out', FIGURE)
    single, multi = (latest_results(f'{WORK_DIR}/{name}') for name in ('single-scale', 'multi-scale'))
    print(f'\nmIoU {single["mIoU"]:.1f} single-scale, {multi["mIoU"]:.1f} multi-scale + flip. Look at {FIGURE}')


if __name__ == '__main__':
    sys.exit(main())
