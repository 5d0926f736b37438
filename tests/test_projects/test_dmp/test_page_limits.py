"""What visitors and strangers may ask of the page, without a browser."""

import asyncio
import html
import json

import cv2
import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mmengine.config import Config

from mmdiffperc.generative import MultiTargetInferencer

MODEL = dict(
    type='DeterministicDiffusion',
    arch='tiny-sd',
    num_steps=2,
    use_prompts=False,
    init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
)
RESIZE = dict(type='Resize', scale=(40, 40))
LIMIT = 10_000  # of bytes and pixels


@pytest.fixture(scope='module')
def inferencer(lora):
    """Of depth without captions, and normals with them."""
    loader = dict(dataset=dict(pipeline=[RESIZE]))
    depth = Config(dict(model=dict(MODEL, target_mode='F'), test_dataloader=loader))
    normals = Config(dict(model=dict(MODEL, use_prompts=True), test_dataloader=loader))
    return MultiTargetInferencer(dict(depth=(depth, lora), normals=(normals, lora)), device='cpu')


@pytest.fixture
def limits(tool):
    return tool('page_limits').Limits(num_bytes=LIMIT, num_pixels=LIMIT, queue_size=2, seconds=300)


@pytest.fixture
def predictor(tool, inferencer, limits):
    return tool('app').Predictor(inferencer, limits)


@pytest.fixture
def write(tmp_path):
    """Writes an image of a given size."""

    def write(name, height, width):
        cv2.imwrite(str(tmp_path / name), np.full((height, width, 3), 99, np.uint8))
        return str(tmp_path / name)

    return write


def test_options(tool):
    task = ['--task', 'depth', 'config.py', 'lora']
    args = tool('app').parse_args(task)
    default = tool('page_limits').Limits()
    assert (args.max_bytes, args.max_pixels, args.max_queue, args.time_limit) == default
    args = tool('app').parse_args([*task, '--max-pixels', '3', '--time-limit', '5'])
    assert (args.max_pixels, args.time_limit) == (3, 5)
    with pytest.raises(SystemExit):
        tool('app').parse_args([*task, '--max-queue', '0'])


def test_images_are_limited(predictor, write):
    """In the number of pixels, whoever asks, before they are decoded; and in the ratio of the sides."""
    assert predictor.show(write('fits.png', 100, 100)).shape == (100, 100, 3)
    for ask in (predictor.show, lambda file: next(predictor.predict('depth', 2, None, file))):
        with pytest.raises(gr.Error, match='large.png.*101 x 100.*10000'):
            ask(write('large.png', 100, 101))
    with pytest.raises(gr.Error, match=r'1 x 3000 pixels.*\b8\b'):
        next(predictor.predict('depth', 2, None, write('line.png', 3000, 1)))
    with pytest.raises(gr.Error, match=r'\b1001\b.*\b1000\b'):
        next(predictor.predict('normals', 2, 'a' * 1001, write('fits.png', 10, 10)))


def test_time_is_limited(predictor, limits, write):
    """After the limit no step is begun, and the next visitor is served."""
    image = write('bed.png', 51, 67)
    predictor.limits = limits._replace(seconds=0)
    with pytest.raises(gr.Error, match=r'\b0 seconds'):
        next(predictor.predict('depth', 3, None, image))
    predictor.limits = limits
    picture, files = next(predictor.predict('depth', 3, None, image))
    assert picture.endswith('bed_depth.png') and len(files) == 2


def test_foreign_text_stays_text(predictor, tmp_path, write):
    """In errors, which Gradio renders as HTML: names of files, and captions."""
    name = '<img src=x onerror=alert(1)>.png'
    (tmp_path / name).write_text('no image')
    for ask in (predictor.show, lambda file: next(predictor.predict('depth', 2, None, file))):
        with pytest.raises(gr.Error) as error:
            ask(str(tmp_path / name))
        assert '<' not in error.value.message and html.escape(name) in error.value.message
        assert str(tmp_path) not in error.value.message
    with pytest.raises(gr.Error, match='&lt;кровать&gt;') as error:
        next(predictor.predict('normals', 2, '<кровать>', write('bed.png', 10, 10)))
    assert '<' not in error.value.message


def call(tool, body, path='/gradio_api/queue/join', method='POST', length=...):
    """What the middleware answers, or what arrives behind it."""
    length = len(body) if length is ... else length
    headers = [] if length is None else [(b'content-length', str(length).encode())]
    scope = dict(type='http', method=method, path=path, headers=headers)
    parts = [dict(type='http.request', body=body[:5], more_body=True), dict(type='http.request', body=body[5:])]
    answers, arrived = [], []

    async def receive():
        return parts.pop(0)

    async def send(message):
        answers.append(message)

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            arrived.append(message['body'])
            more = message.get('more_body', False)

    asyncio.run(tool('page_limits').RequestLimits(app, LIMIT)(scope, receive, send))
    return answers[0]['status'] if answers else b''.join(arrived)


def test_requests_are_limited(tool):
    """Other than uploads to 64 KiB; all must say how long they are."""
    message = json.dumps(dict(data=[dict(path='/tmp/bed.png', url='http://127.0.0.1/file=bed.png')])).encode()
    assert call(tool, message) == message
    assert call(tool, b'no json') == b'no json'
    assert call(tool, b'x' * 2**16) == b'x' * 2**16
    assert call(tool, b'x' * (2**16 + 1)) == 413
    assert call(tool, message, length=None) == 411
    assert call(tool, message, length='-1') == call(tool, message, length='9' * 5000) == 411
    assert call(tool, b'x' * LIMIT, path='/gradio_api/upload') == b'x' * LIMIT
    assert call(tool, b'', path='/gradio_api/upload', length=LIMIT + 2**12 + 1) == 413
    assert call(tool, b'', path='/gradio_api/upload/', length=LIMIT + 2**12 + 1) == 413
    assert call(tool, b'', method='GET', length=None) == b''


def test_server_does_no_errands(tool):
    """An address in place of an uploaded file is not asked for it."""
    for address in ('http://example.org/bed.png', 'https://example.org/bed.png'):
        assert call(tool, json.dumps(dict(data=[3, dict(meta=dict(path=address))])).encode()) == 400


def test_page_as_it_is_served(tool, predictor, limits, write):
    """Only predictions may be asked for from outside; too large a file and a full queue are told."""
    app = tool('app')
    page = app.build_page(predictor)
    app.serve(page, limits, server_name='127.0.0.1', prevent_thread_lock=True, quiet=True)
    try:
        client = Client(page.local_url, verbose=False)
        assert list(client.view_api(return_format='dict')['named_endpoints']) == ['/predict']
        picture, files = client.predict('depth', 2, '', handle_file(write('bed.png', 51, 67)), api_name='/predict')
        assert cv2.imread(picture, cv2.IMREAD_UNCHANGED).shape == (51, 67)
        with pytest.raises(AppError, match='large.png.*pixels'):
            client.predict('depth', 2, '', handle_file(write('large.png', 101, 100)), api_name='/predict')
        api = f'{page.local_url}gradio_api'
        content = open(write('heavy.bmp', 60, 60), 'rb').read()
        for files in (dict(files=content), [('files', content[:9000]), ('files', content[:9000])]):
            assert httpx.post(f'{api}/upload', files=files).status_code == 413
        page._queue.max_size = 0
        answer = httpx.post(f'{api}/queue/join', json=dict(data=[], fn_index=3, session_hash='x'))
        assert answer.status_code == 503 and 'full' in answer.json()['detail']
    finally:
        page.close()
