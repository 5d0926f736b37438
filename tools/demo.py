"""Fine-tune a small diffusion model for semantic segmentation, test it, and draw its predictions.

The tool downloads nothing: tiny-sd ships with the package, and the tool renders the toy scenes. It writes to data/toy
and work_dirs/demo. It prints each command before running it, so you can reuse the commands with other configs.

    mmdiffperc demo
"""

import sys
from argparse import ArgumentParser
from subprocess import CalledProcessError

from toy_experiments.commands import last_validation, latest_results, run

from mmdiffperc_cli.options import one_line_errors, tool_parser

CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1400_toy-ade-192x192.py'
SCENES_FOLDER = 'data/toy_192'
WORK_DIR = 'work_dirs/demo'
FIGURE = f'{WORK_DIR}/demo.png'
SCENES = ('175', '68', '137', '18')  # indices in the validation set, chosen because the model finds nearly every class


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    return tool_parser(__doc__)


@one_line_errors(CalledProcessError, OSError)
def main(arguments=None):
    """Render the scenes, train, test at several scales, and draw the predictions."""
    build_parser().parse_args(arguments)
    checkpoint = f'{WORK_DIR}/iter_1400.pth'
    run('mmdiffperc', 'toy-scenes', '--out', SCENES_FOLDER, '--formats', 'ade', '--size', '192', '--workers', '2')
    run('mmdiffperc', 'train', CONFIG, '--work-dir', WORK_DIR)
    run('mmdiffperc', 'test', CONFIG, checkpoint, '--work-dir', f'{WORK_DIR}/multi-scale', '--tta')
    run('mmdiffperc', 'draw-predictions', CONFIG, checkpoint, '--indices', *SCENES, '--out-file', FIGURE)
    single, multi = last_validation(WORK_DIR), latest_results(f'{WORK_DIR}/multi-scale')
    print(f'\nmIoU {single["mIoU"]:.1f} single-scale, {multi["mIoU"]:.1f} multi-scale + flip. Look at {FIGURE}')


if __name__ == '__main__':
    sys.exit(main())
