"""Serve a browser page: drop an image, choose a task, and see the prediction beside the image.

    mmdiffperc app --task depth CONFIG WEIGHTS --task phrase CONFIG WEIGHTS --dtype bfloat16
    mmdiffperc app --task normals CONFIG lora_iter_50000 model.num_steps=3 --host 0.0.0.0 --port 8000

Repeat --task for each tab of the page. NAME is the title of the tab. Settings after the weights replace those of the
config. Visitors can download the files that mmdiffperc predict writes. The page works without internet access and sends
nothing to other servers.

The page computes one prediction at a time, while other requests wait. --max-bytes, --max-pixels, --max-queue and
--time-limit limit what visitors can request.
"""

import argparse
import pickle
import sys
from pathlib import Path

from mmengine.config import Config, DictAction

from mmdiffperc_cli.options import add_shared, bounded, config_file, key_value, one_line_errors, positive, tool_parser


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--task',
        nargs='+',
        action='append',
        required=True,
        metavar=('NAME CONFIG WEIGHTS', 'KEY=VALUE'),
        help='task (title, config, weights, and settings that replace those of the config; can be repeated)',
    )
    add_shared(parser, '--device')
    add_shared(parser, '--dtype')
    parser.add_argument('--host', default='127.0.0.1', help='host to listen on; 0.0.0.0 for all (default: %(default)s)')
    parser.add_argument('--port', type=bounded(int, 1, 65535), help='port (default: the first free port from 7860)')
    limits = {
        '--max-bytes': (50_000_000, 'largest size of an uploaded file'),
        '--max-pixels': (25_000_000, 'largest size of an uploaded image'),
        '--max-queue': (100, 'largest number of waiting requests'),
    }
    for name, (limit, text) in limits.items():
        parser.add_argument(name, type=positive, default=limit, metavar='N', help=f'{text} (default: %(default)s)')
    add_shared(parser, '--time-limit', 'for a prediction', default=300, metavar='SECONDS')
    return parser


def parse_args(arguments=None) -> argparse.Namespace:
    """Read the command line; ``task`` becomes a dict that maps the name of each task to its config and weights."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    names = [name for name, *_ in args.task]
    if len(set(names)) < len(names) or any(not name or Path(name).name != name for name in names):
        parser.error(f'--task: expected distinct names without a slash, got {names}')
    try:
        args.task = {name: read_task(*parts) for name, *parts in args.task}
    except argparse.ArgumentTypeError as error:
        parser.error(f'--task: {error}')
    return args


def read_task(*parts: str) -> tuple[Config, str]:
    """Read the config of a task and replace settings in it.

    Args:
        *parts (str): The config, the weights, and any number of ``KEY=VALUE`` settings.

    Returns:
        tuple[Config, str]: The config and the weights.

    Raises:
        argparse.ArgumentTypeError: A part is missing or wrong.
    """
    if len(parts) < 2:
        raise argparse.ArgumentTypeError(f'expected NAME CONFIG WEIGHTS, got {" ".join(parts)} after the name')
    path, weights, *settings = parts
    config, replaced = Config.fromfile(config_file(path)), argparse.Namespace()
    DictAction([], 'settings')(None, replaced, [key_value(setting) for setting in settings])
    config.merge_from_dict(replaced.settings)
    return config, weights


def build_inferencers(args: argparse.Namespace) -> dict:
    """Load all models, so that errors appear before the page opens."""
    from mmdiffperc.inference import build_inferencer

    settings = dict(device=args.device, dtype=args.dtype, show_progress=False)
    return {name: build_inferencer(*task, **settings) for name, task in args.task.items()}


def start(args: argparse.Namespace, inferencers: dict, **options):
    """Serve the page, and return it.

    Args:
        args (argparse.Namespace): The command line.
        inferencers (dict[str, ImageInferencer]): The inferencer of each task.
        **options: Further arguments of Gradio's ``launch``.
    """
    from mmdiffperc.inference.page import Predictor, build_page, serve
    from mmdiffperc.inference.page_limits import Limits

    limits = Limits(args.max_bytes, args.max_pixels, args.max_queue, args.time_limit)
    page = build_page(Predictor(inferencers, limits))
    serve(page, limits, server_name=args.host, server_port=args.port, **options)
    return page


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    start(args, build_inferencers(args))


if __name__ == '__main__':
    sys.exit(main())
