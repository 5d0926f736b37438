"""A page for the browser: drop an image, see its normals, depth, albedo, shading or segmentation beside it.

    python projects/dmp/tools/app.py --task normals CONFIG lora_iter_50000 --task depth CONFIG FILE --precision fp16
    python projects/dmp/tools/app.py --task normals CONFIG iter_50000.pth --no-prompts --host 0.0.0.0 --port 8000

Each task has a name, a config, and what was trained with it: an adapter, or a checkpoint (.pth). Adapters whose
configs have the same Stable Diffusion share it in memory. What can be downloaded is what predict.py writes:
NAME_TASK.npz, whose array x is float32, and NAME_TASK.png. The page works without the internet and reports nothing.

Predictions are made one at a time; other requests wait. What a visitor may ask for is limited: --max-bytes and
--max-pixels of an image, --max-queue requests that wait, --time-limit seconds for a prediction.
"""

import argparse
import html
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import gradio as gr
import numpy as np
import torch
from generation import positive
from page_limits import Limits, RequestLimits
from starlette.middleware import Middleware

from mmdiffperc.command_line import bounded, device, image_side, one_line_errors
from mmdiffperc.generative import DeterministicDiffusion, MultiTargetInferencer
from mmdiffperc.generative.prediction_files import prediction_files, write_prediction
from mmdiffperc.generative.target_inferencer import PRECISIONS, TargetInferencer
from mmdiffperc.inference.image_files import read_image
from mmdiffperc.inference.image_limits import check_pixels

MOST_STEPS = 50
LONGEST_CAPTION = 1000  # characters; the text encoder reads 77 tokens
THREADS = 8
HOUR = 3600
SHOWN = dict(interactive=False, format='png', buttons=['fullscreen'])
CAPTION_IS_MISSING = 'A caption is missing: say in a few words what the image shows'


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--task',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'TRAINED'),
        help='a kind of target; may be given several times',
    )
    parser.add_argument('--no-prompts', action='store_true', help='for adapters that were trained without prompts')
    parser.add_argument(
        '--size', type=image_side, metavar='PIXELS', help='shorter side in the model (default: as in testing)'
    )
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32', help='(default: %(default)s)')
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--host', default='127.0.0.1', help='0.0.0.0: for all machines (default: %(default)s)')
    parser.add_argument('--port', type=bounded(int, 1, 65535), help='(default: the first free one from 7860)')
    default, number = Limits(), dict(type=positive, metavar='N', help='(default: %(default)s)')
    parser.add_argument('--max-bytes', default=default.num_bytes, **number)
    parser.add_argument('--max-pixels', default=default.num_pixels, **number)
    parser.add_argument('--max-queue', default=default.queue_size, **number)
    parser.add_argument('--time-limit', default=default.seconds, **number | dict(metavar='SECONDS'))
    args = parser.parse_args(arguments)
    names = [name for name, *_ in args.task]
    if len(set(names)) < len(names) or any(not name or Path(name).name != name for name in names):
        parser.error(f'--task: expected different names that can stand in the name of a file, got {names}')
    return args


def shown(message: str) -> gr.Error:
    """Return the error with this message, which may quote a stranger's file: Gradio would render its HTML."""
    return gr.Error(html.escape(message), print_exception=False)


@contextmanager
def errors_on_the_page(file: str):
    """Show on the page what the user can mend; of the path of what was uploaded, only its name."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise shown(str(error).replace(file, Path(file).name)) from error
    except torch.OutOfMemoryError as error:
        raise shown('The image needs more memory than there is: make it smaller') from error


class Settings(NamedTuple):
    """What the page knows of a task: its steps, whether their number may be changed, whether it wants a caption."""

    num_steps: int
    has_steps: bool
    use_prompts: bool


class Predictor:
    """What the page does when something is clicked.

    Args:
        inferencer (MultiTargetInferencer): Every task is loaded once, so that what is wrong with one shows before the
            page is there.
        limits (Limits): What a visitor may ask for.
    """

    def __init__(self, inferencer: MultiTargetInferencer, limits: Limits):
        self.inferencer = inferencer
        self.limits = limits
        self.settings = {name: settings_of(inferencer.select(name).model) for name in inferencer.tasks}

    def choose(self, task: str) -> list[dict]:
        """Return what becomes of the slider and of the caption box when a task is chosen."""
        settings = self.settings[task]
        return [
            gr.update(value=settings.num_steps, interactive=settings.has_steps),
            gr.update(visible=settings.use_prompts),
        ]

    def show(self, file: str | None) -> np.ndarray | None:
        """Return the uploaded image, RGB.

        Raises:
            gr.Error: The file holds no image, or too large a one.
        """
        return None if file is None else self._read(file)[..., ::-1]

    def predict(
        self, task: str, num_steps: int, caption: str | None, file: str | None
    ) -> Iterator[tuple[str, list[str]]]:
        """Predict the target of the uploaded image.

        Yields:
            tuple[str, list[str]]: Once: the picture, and the files to download.

        Raises:
            gr.Error: There is no image, or too large a one; a caption is missing, too long, or cannot be understood;
                the prediction took too long.
        """
        if file is None:
            raise shown('There is no image yet: drop one first')
        caption = self._caption(caption) if self.settings[task].use_prompts else None
        image = self._read(file)
        with errors_on_the_page(file), TemporaryDirectory() as folder:
            inferencer = self.inferencer.select(task)
            target = self._within_time(inferencer, image, caption, num_steps)
            stem = Path(folder, f'{Path(file).stem}_{task}')
            write_prediction(target, stem, inferencer.model.codec)
            picture, array = map(str, prediction_files(stem))
            yield picture, [array, picture]  # Gradio has copied them when it asks for more

    def _read(self, file: str) -> np.ndarray:
        with errors_on_the_page(file):
            check_pixels(file, file, self.limits.num_pixels)
            return read_image(file)

    def _within_time(self, inferencer: TargetInferencer, image, caption, num_steps) -> np.ndarray:
        try:
            return inferencer(image, caption, num_steps, self.limits.seconds)
        except TimeoutError as error:
            raise shown(
                f'The prediction took longer than {self.limits.seconds:g} seconds, the limit of this page: use fewer '
                'steps, or an image that is less elongated'
            ) from error

    def _caption(self, caption: str | None) -> str:
        if not caption or not caption.strip():
            raise shown(CAPTION_IS_MISSING)
        if len(caption) > LONGEST_CAPTION:
            raise shown(f'The caption has {len(caption)} characters, the limit of this page is {LONGEST_CAPTION}')
        return caption


def settings_of(model: DeterministicDiffusion) -> Settings:
    """Return the settings of a model."""
    has_steps = model.process.sampler != 'one_pass'
    return Settings(model.num_steps if has_steps else 1, has_steps, model.use_prompts)


def build_page(predictor: Predictor) -> gr.Blocks:
    """Build the page: what to predict, the image, and the prediction beside it."""
    names = list(predictor.settings)
    first = predictor.settings[names[0]]
    most_steps = max(MOST_STEPS, *(settings.num_steps for settings in predictor.settings.values()))
    # What was uploaded and predicted is kept for a day.
    with gr.Blocks(title='DMP', analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR)) as page:
        with gr.Row():
            task = gr.Radio(names, value=names[0], label='Task')
            steps = gr.Slider(1, most_steps, first.num_steps, step=1, label='Steps', interactive=first.has_steps)
        caption = gr.Textbox(
            label='Caption',
            placeholder='What the image shows',
            visible=first.use_prompts,
            max_length=LONGEST_CAPTION,
        )
        file = gr.File(label='Image', height=120, elem_id='file')
        button = gr.Button('Predict', variant='primary')
        with gr.Row():
            image = gr.Image(label='Input', elem_id='input', **SHOWN)
            prediction = gr.Image(label='Prediction', elem_id='prediction', **SHOWN)
        downloads = gr.File(label='Download', file_count='multiple', interactive=False, elem_id='downloads')

        # Nothing but predictions can be asked for without the page.
        task.change(predictor.choose, task, [steps, caption], api_visibility='private')
        # First empty, so that no picture stays that is not of the new image.
        emptied = file.change(
            lambda: (None, None, None), None, [image, prediction, downloads], api_visibility='private'
        )
        emptied.then(predictor.show, file, image, api_visibility='private')
        inputs = [task, steps, caption, file]
        button.click(predictor.predict, inputs, [prediction, downloads])
    # One request at a time, because each takes all that the device has.
    return page.queue(max_size=predictor.limits.queue_size, default_concurrency_limit=1, api_open=False)


def serve(page: gr.Blocks, limits: Limits, **options):
    """Serve the page: nothing but the page, and nothing that comes from elsewhere."""
    page.launch(
        max_threads=THREADS,
        max_file_size=limits.num_bytes,
        app_kwargs=dict(middleware=[Middleware(RequestLimits, num_bytes=limits.num_bytes)]),
        allowed_paths=[],
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=['api', 'settings'],
        **options,
    )


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    tasks = {name: (config, trained) for name, config, trained in args.task}
    options = dict(use_prompts=False, guidance_scale=1) if args.no_prompts else {}
    inferencer = MultiTargetInferencer(tasks, args.size, args.precision, args.device, **options)
    limits = Limits(args.max_bytes, args.max_pixels, args.max_queue, args.time_limit)
    serve(build_page(Predictor(inferencer, limits)), limits, server_name=args.host, server_port=args.port)


if __name__ == '__main__':
    sys.exit(main())
