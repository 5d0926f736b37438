"""The actions of the page, without a browser."""

import html
import tempfile

import cv2
import gradio as gr
import httpx
import numpy as np
import pytest
from full_disk import full_disk
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from tiny_depth import write_checkpoint, write_config

from mmdiffperc.inference import build_inferencer
from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.page import Predictor, add_corner, build_page, draw_boxes, options_of, parse_boxes, serve
from mmdiffperc.inference.page_limits import Limits

LIMIT = 10_000  # bytes and pixels
BOXES = Control('boxes', 'boxes', 'Boxes')
TEXT = Control('text', 'text', 'Text')


@pytest.fixture(scope='module')
def depth(tmp_path_factory):
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    return build_inferencer(config, write_checkpoint(config, folder / 'depth.pth'), device='cpu', show_progress=False)


@pytest.fixture
def limits():
    return Limits(num_bytes=LIMIT, num_pixels=LIMIT, queue_size=2, seconds=300)


@pytest.fixture
def predictor(depth, limits):
    return Predictor(dict(depth=depth), limits)


@pytest.fixture
def write(tmp_path):
    """Write a grey image of a given size."""

    def write(name, height, width):
        cv2.imwrite(str(tmp_path / name), np.full((height, width, 3), 99, np.uint8))
        return str(tmp_path / name)

    return write


def test_prediction_and_files(predictor, depth, write, monkeypatch, tmp_path):
    """Both equal those of the inferencer; temporary files are deleted once Gradio has copied them."""
    file = write('bed.png', 51, 67)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    request = predictor.predict('depth', file, 'kitchen')
    picture, summary, files = next(request)
    expected = depth(file, scene='kitchen', return_vis=True)
    np.testing.assert_array_equal(picture, expected['visualization'][0])
    assert 'm' in summary and summary == depth.summarize(expected['predictions'][0])
    names = [path.rpartition('/')[2] for path in files]
    assert names == ['bed_colour.png', 'bed_depth.npz', 'bed_depth.png']
    np.testing.assert_array_equal(np.load(files[1])['depth'], expected['predictions'][0]['depth'])
    assert next(request, None) is None
    assert not list((tmp_path / 'temporary').iterdir())


def test_images_are_limited(predictor, write):
    """Every action checks the number of pixels before it decodes an image."""
    assert predictor.show(write('fits.png', 100, 100)).shape == (100, 100, 3)
    for ask in (predictor.show, lambda file: next(predictor.predict('depth', file, ''))):
        with pytest.raises(gr.Error, match='large.png.*101 x 100.*10000'):
            ask(write('large.png', 100, 101))


def test_time_is_limited(predictor, limits, write):
    """After a timeout, the next visitor is served."""
    file = write('bed.png', 51, 67)
    predictor.limits = limits._replace(seconds=0)
    with pytest.raises(gr.Error, match=r'\b0 seconds'):
        next(predictor.predict('depth', file, ''))
    predictor.limits = limits
    assert next(predictor.predict('depth', file, ''))[0].shape == (51, 67, 3)


def test_foreign_text_stays_text(predictor, tmp_path, write):
    """File names and values are escaped in errors, which Gradio renders as HTML. Paths of the server are removed."""
    name = '<img src=x onerror=alert(1)>.png'
    (tmp_path / name).write_text('no image')
    for ask in (predictor.show, lambda file: next(predictor.predict('depth', file, ''))):
        with pytest.raises(gr.Error) as error:
            ask(str(tmp_path / name))
        assert '<' not in error.value.message and html.escape(name) in error.value.message
        assert str(tmp_path) not in error.value.message
    with pytest.raises(gr.Error, match='&lt;barn&gt;') as error:
        next(predictor.predict('depth', write('bed.png', 10, 10), '<barn>'))
    assert '<' not in error.value.message


def test_a_full_disk_shows_no_path(predictor, write):
    file = write('bed.png', 51, 67)
    with full_disk(100), pytest.raises(gr.Error, match='bed_colour.png|bed_depth') as error:
        next(predictor.predict('depth', file, ''))
    assert '/' not in error.value.message


def test_values_become_options():
    controls = (
        TEXT,
        Control('scene', 'choice', 'Scene', choices=('attic',)),
        Control('num_steps', 'count', 'Steps'),
        BOXES,
    )
    assert options_of(controls, ('a bed', 'attic', 3, '4 30 20 10')) == dict(
        text='a bed', scene='attic', num_steps=3, boxes=[[4, 10, 20, 30]]
    )
    assert options_of(controls[1:], ('', 3, '')) == options_of(controls[1:], (None, 3, None)) == dict(num_steps=3)
    with pytest.raises(ValueError, match=r'Text.* 1001 .* 1000'):
        options_of([TEXT], ('a' * 1001,))
    for blank in ('  ', None):
        with pytest.raises(ValueError, match='Text.*missing'):
            options_of([TEXT], (blank,))


@pytest.mark.parametrize('text', ['1 2', '1 2 3 4\n5 6 7', '1 2 3 x'])
def test_incomplete_boxes(text):
    with pytest.raises(ValueError, match=text.rpartition('\n')[2]):
        parse_boxes(text)


def test_two_clicks_are_a_box():
    text = ''
    for corner in ((5, 6), (1, 2), (7, 8)):
        text = add_corner(text, gr.SelectData(None, dict(index=corner, value=None)))
    assert text == '5 6 1 2\n7 8'
    drawn = draw_boxes(np.zeros((10, 10, 3), np.uint8), text)[..., 0]
    expected = np.zeros((10, 10), int)
    expected[2:7, 1:6] = 255
    expected[3:6, 2:5] = 0
    expected[8, 7] = 255
    np.testing.assert_array_equal(drawn, expected)


def test_page_as_it_is_served(predictor, limits, write):
    """Only predictions may be requested without the page; too large a file and a full queue are reported."""
    page = build_page(predictor)
    serve(page, limits, server_name='127.0.0.1', prevent_thread_lock=True, quiet=True)
    try:
        client = Client(page.local_url, verbose=False)
        assert list(client.view_api(return_format='dict')['named_endpoints']) == ['/depth']
        picture, _, files = client.predict(handle_file(write('bed.png', 51, 67)), 'kitchen', api_name='/depth')
        assert cv2.imread(picture, cv2.IMREAD_UNCHANGED).shape == (51, 67, 3) and len(files) == 3
        with pytest.raises(AppError, match='large.png.*pixels'):
            client.predict(handle_file(write('large.png', 101, 100)), '', api_name='/depth')
        api = f'{page.local_url}gradio_api'
        content = open(write('heavy.bmp', 60, 60), 'rb').read()
        for files in (dict(files=content), [('files', content[:9000]), ('files', content[:9000])]):
            assert httpx.post(f'{api}/upload', files=files).status_code == 413
        page._queue.max_size = 0
        answer = httpx.post(f'{api}/queue/join', json=dict(data=[], fn_index=0, session_hash='x'))
        assert answer.status_code == 503 and 'full' in answer.json()['detail']
    finally:
        page.close()
