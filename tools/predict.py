"""Predict classes, depth, normals, poses, objects or described objects in your own images, with a trained model.

    mmdiffperc predict CONFIG WEIGHTS INPUT... --out FOLDER
    mmdiffperc predict CONFIG --help

CONFIG determines the task. The second command also lists the options of that task. INPUT is an image, a video, a folder
of images and videos, or a glob pattern in quotes.

For each image, the tool writes a picture of the prediction and the prediction itself, in files named after the image.
For a video, it writes a video of the pictures, and a folder with the predictions for each frame. If images cannot be
read, the tool reports them at the end, and the exit status is 1.
"""

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from mmdiffperc_cli.options import CONFIG_SUFFIXES, add_shared, one_line_errors, tool_parser
from mmdiffperc_cli.shipped import find_shipped


def build_parser(task: type | None = None) -> argparse.ArgumentParser:
    """Return the command-line parser, with the options of a task."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config')
    add_shared(parser, 'weights', 'or adapter, or diffusers folder')
    add_shared(parser, 'input', nargs='+', help='image, video, folder, or glob pattern')
    add_shared(parser, '--out', default=Path('predictions'))
    add_shared(parser, '--device')
    add_shared(parser, '--dtype')
    add_shared(parser, '--batch-size')
    parser.add_argument('--skip-existing', action='store_true', help='skip inputs whose predictions exist in FOLDER')
    add_shared(parser, '--cfg-options')
    if task:
        task.add_options(parser.add_argument_group(f'options of {task.__name__}', argument_default=argparse.SUPPRESS))
    return parser


def find_task(arguments: Sequence[str]) -> type | None:
    """Return the inferencer for the first config on the command line, if there is one."""
    paths = [Path(find_shipped(text)) for text in arguments if Path(text).suffix in CONFIG_SUFFIXES]
    files = [path for path in paths if path.is_file()]
    if not files:
        return None
    from mmdiffperc.inference.builder import inferencer_class

    return inferencer_class(Config.fromfile(files[0]))


def predict(config: str, weights: str, input: list[Path], out: Path, cfg_options: dict | None, **options):
    """Predict, write the files, and print how many images and frames are done."""
    from mmdiffperc.inference import build_inferencer
    from mmdiffperc.inference.builder import inferencer_class

    config = Config.fromfile(config)
    config.merge_from_dict(cfg_options or {})
    names = {'batch_size', 'skip_existing'} | inferencer_class(config).call_options()
    call = {name: options.pop(name) for name in names & options.keys()}
    inferencer = build_inferencer(config, weights, **options)
    number = 0
    try:
        for result in inferencer.stream(input, out_dir=out, **call):
            number += 1
            tqdm.write(f'{result.frame.source.name}: {inferencer.summarize(result.prediction)}')
    finally:  # images that cannot be read are an error after the last one
        print(f'{out}: predictions written: {number}')


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, ImportError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not {'-h', '--help'} & {*arguments}:
        build_parser().parse_known_args(arguments)  # report what is wrong for any task before the config is read
    args = build_parser(find_task(arguments)).parse_args(arguments)
    predict(**vars(args))


if __name__ == '__main__':
    sys.exit(main())
