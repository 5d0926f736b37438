"""The browser page: drop an image, choose a task, and see the prediction beside the image."""

import html
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import cv2
import gradio as gr
import numpy as np
import torch
from gradio.components import Component
from starlette.middleware import Middleware

from .controls import Control
from .image_files import read_image
from .image_limits import check_pixels
from .inferencer import ImageInferencer
from .inputs import ImageSource
from .page_limits import Limits, RequestLimits

MOST_STEPS = 50
LONGEST_TEXT = 1000  # characters; the text encoder reads 77 tokens
BOX_COLOUR = (255, 0, 0)
THREADS = 8
HOUR = 3600
SHOWN = dict(interactive=False, format='png', buttons=['fullscreen'], height=360)
# Gradio does not enlarge small images.
STYLE = '.enlarged img { object-fit: contain; height: 100%; width: 100%; }'


def error_message(message: str) -> gr.Error:
    """Return an error with this message as text, because it may quote a stranger's file and Gradio renders HTML."""
    return gr.Error(html.escape(message), print_exception=False)


@contextmanager
def errors_on_the_page(folder: str | Path):
    """Show the errors that a visitor can act on, without the path of the folder of their files."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise error_message(str(error).replace(f'{folder}{os.sep}', '')) from error
    except torch.OutOfMemoryError as error:
        raise error_message('The image needs more memory than is available: make it smaller') from error


def parse_boxes(text: str) -> list[list[float]]:
    """Read boxes ``x1 y1 x2 y2``, one a line.

    Raises:
        ValueError: A line does not have four numbers.
    """
    boxes = []
    for line in text.splitlines():
        try:
            x1, y1, x2, y2 = map(float, line.split())
        except ValueError:
            raise ValueError(f'Expected boxes x1 y1 x2 y2, got {line!r:.100}: click two opposite corners') from None
        boxes.append([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)])
    return boxes


def add_corner(text: str, event: gr.SelectData) -> str:
    """Add the corner of a box that was clicked: the first of a new box, or the second of the last one."""
    has_one_corner = len(text.rpartition('\n')[2].split()) == 2
    separator = ' ' if has_one_corner else '\n'
    return f'{text}{separator}{event.index[0]} {event.index[1]}'.strip()


def draw_boxes(image: np.ndarray, text: str) -> np.ndarray:
    """Draw boxes, and the first corner of an incomplete box, on an image ``(H, W, 3)`` in RGB."""
    thickness = max(1, min(image.shape[:2]) // 200)
    for line in text.splitlines():
        corners = np.array(line.split(), float).astype(int).reshape(-1, 2)
        cv2.rectangle(image, corners[0].tolist(), corners[-1].tolist(), BOX_COLOUR, thickness)
    return image


def options_of(controls: Sequence[Control], values: Sequence) -> dict:
    """Convert the values of widgets to options of a call; those of empty widgets are left out.

    Raises:
        ValueError: A text is missing or too long, or is not a list of boxes.
    """
    options = {}
    for control, value in zip(controls, values, strict=True):
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise ValueError(f'{control.label}: {len(value)} characters exceed the limit of this page, {LONGEST_TEXT}')
        if value is not None and str(value).strip():
            options[control.name] = parse_boxes(value) if control.kind == 'boxes' else value
        elif control.kind == 'text':
            raise ValueError(f'{control.label} is missing. {control.hint}')
    return options


class Predictor:
    """The actions of the page.

    Args:
        inferencers (Mapping[str, ImageInferencer]): The inferencer of each task, by the name of the task.
        limits (Limits): What a visitor may ask for.
    """

    def __init__(self, inferencers: Mapping[str, ImageInferencer], limits: Limits):
        self.inferencers = inferencers
        self.limits = limits

    def show(self, file: str | None, boxes: str = '') -> np.ndarray | None:
        """Return the uploaded image in RGB, with the boxes drawn on it.

        Raises:
            gr.Error: The file is not an image, or the image is too large.
        """
        return None if file is None else draw_boxes(np.ascontiguousarray(self._read(file)[..., ::-1]), boxes)

    def predict(self, task: str, file: str | None, *values) -> Iterator[tuple[np.ndarray, str, list[str]]]:
        """Predict with the uploaded image.

        Args:
            task (str): Name of the task.
            file (str, optional): The uploaded file.
            *values: The values of the task's controls.

        Yields:
            tuple[np.ndarray, str, list[str]]: Once: the picture, its summary, and the files to download.

        Raises:
            gr.Error: There is no image, or it is too large; the inferencer rejects the image or a value; the prediction
                took too long.
        """
        if file is None:
            raise error_message('There is no image yet: drop one first')
        inferencer = self.inferencers[task]
        # Only the files of DMP have the same names for every task.
        stem = Path(file).stem if inferencer.picture_ending else f'{Path(file).stem}_{task}'
        source = ImageSource(self._read(file), PurePath(stem))
        with TemporaryDirectory() as folder, errors_on_the_page(folder):
            options = options_of(inferencer.controls, values)
            options['time_limit'] = self.limits.seconds
            result = inferencer(source, out_dir=folder, return_vis=True, **options)
            files = sorted(str(path) for path in Path(folder).iterdir())
            summary = inferencer.summarize(result['predictions'][0])
            yield result['visualization'][0], summary, files  # Gradio has copied the files when it asks for more

    def _read(self, file: str) -> np.ndarray:
        with errors_on_the_page(Path(file).parent):
            check_pixels(file, file, self.limits.num_pixels)
            return read_image(file)


def widget(control: Control) -> Component:
    """Return the widget of a control."""
    shown = dict(label=control.label, info=control.hint or None)
    if control.kind == 'choice':
        return gr.Dropdown([('unknown', ''), *control.choices], value='', **shown)
    if control.kind == 'count':
        return gr.Slider(1, max(MOST_STEPS, control.default), control.default, step=1, **shown)
    if control.kind == 'score':
        return gr.Slider(0, 1, control.default, step=0.01, **shown)
    return gr.Textbox(max_length=LONGEST_TEXT, **shown)


def build_page(predictor: Predictor) -> gr.Blocks:
    """Build the page: the image on the left; on the right, a tab with the options and the result of each task."""
    all_controls = [control for inferencer in predictor.inferencers.values() for control in inferencer.controls]
    takes_boxes = any(control.kind == 'boxes' for control in all_controls)
    # Uploads and predictions are deleted after a day.
    with gr.Blocks(title='mmdiffperc', analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR)) as page:
        with gr.Row():
            with gr.Column():
                file = gr.File(label='Image', height=120, elem_id='file')
                # Gradio locates clicks only on images that are not enlarged.
                style = None if takes_boxes else 'enlarged'
                image = gr.Image(label='Input', elem_id='input', elem_classes=style, **SHOWN)
                with gr.Row(visible=takes_boxes):
                    hint = 'Click two opposite corners on the image.'
                    boxes = gr.Textbox(label='Boxes', info=hint, value='', interactive=False)
                    clear = gr.Button('Clear boxes', size='sm')
            with gr.Column(), gr.Tabs():
                tabs = [
                    add_tab(predictor, task, number, file, boxes) for number, task in enumerate(predictor.inferencers)
                ]

        # Without the page, only predictions can be requested.
        private = dict(api_visibility='private')
        results = [output for outputs in tabs for output in outputs]
        # First empty, so that nothing of the previous image stays.
        emptied = file.change(lambda: (None, '', *[None] * len(results)), None, [image, boxes, *results], **private)
        emptied.then(predictor.show, file, image, **private)
        image.select(add_corner, boxes, boxes, **private)
        clear.click(lambda: '', None, boxes, **private)
        boxes.change(predictor.show, [file, boxes], image, trigger_mode='always_last', **private)
    return page.queue(max_size=predictor.limits.queue_size, api_open=False)


def add_tab(predictor: Predictor, task: str, number: int, file: gr.File, boxes: gr.Textbox) -> list[Component]:
    """Add the tab of a task to the page; return the widgets of its result."""
    with gr.Tab(task):
        controls = predictor.inferencers[task].controls
        widgets = [boxes if control.kind == 'boxes' else widget(control) for control in controls]
        button = gr.Button('Predict', variant='primary')
        outputs = [
            gr.Image(label='Prediction', elem_id=f'prediction-{number}', elem_classes='enlarged', **SHOWN),
            gr.Textbox(label='Summary', interactive=False),
            gr.File(label='Download', file_count='multiple', interactive=False, elem_id=f'files-{number}'),
        ]
    # One prediction at a time, whatever its task, because each uses the whole device.
    shared = dict(concurrency_id='device', concurrency_limit=1)
    button.click(partial(predictor.predict, task), [file, *widgets], outputs, api_name=task, **shared)
    return outputs


def serve(page: gr.Blocks, limits: Limits, **options):
    """Serve the page and nothing else, without requests to other servers.

    Args:
        page (gr.Blocks): The page.
        limits (Limits): What a visitor may ask for.
        **options: Further arguments of Gradio's ``launch``, such as ``server_name`` and ``server_port``.
    """
    page.launch(
        max_threads=THREADS,
        max_file_size=limits.num_bytes,
        app_kwargs=dict(middleware=[Middleware(RequestLimits, num_bytes=limits.num_bytes)]),
        allowed_paths=[],
        css=STYLE,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=['api', 'settings'],
        **options,
    )
