"""The page is started as a user starts it, and used in a real browser, to which everything beyond it is closed."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from browser import open_browser
from mmengine.config import Config
from playwright.sync_api import expect

from mmdiffperc.generative import TargetInferencer

from .conftest import TOOLS

SIZE = 40
LIMIT = 20_000  # bytes and pixels
PATIENCE = 300  # seconds at most; the machine may have other things to do
CAPTION = 'a bed'
MODEL = dict(
    type='DeterministicDiffusion', arch='tiny-sd', num_steps=2, init_cfg=dict(type='Pretrained', checkpoint='tiny-sd')
)
TASKS = dict(
    normals=dict(guidance_scale=2.0),
    depth=dict(use_prompts=False, num_steps=3, target_mode='F', target_scale=8.0),
    shading=dict(use_prompts=False, sampler='one_pass', prediction_type='sample'),
)


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    """The config file of each task."""
    folder = tmp_path_factory.mktemp('configs')
    for name, options in TASKS.items():
        pipeline = [dict(type='Resize', scale=(SIZE, SIZE))]
        config = dict(model=dict(MODEL, **options), test_dataloader=dict(dataset=dict(pipeline=pipeline)))
        Config(config).dump(folder / f'{name}.py')
    return {name: folder / f'{name}.py' for name in TASKS}


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    """An image of no special size."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    path = tmp_path_factory.mktemp('photos') / 'bed.png'
    cv2.imwrite(str(path), cv2.resize(pixels, (51, 67), interpolation=cv2.INTER_CUBIC))
    return path


def tasks_of(configs, lora):
    return [word for name, config in configs.items() for word in ('--task', name, str(config), str(lora))]


@pytest.fixture(scope='module')
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope='module')
def address(browser, configs, lora, tmp_path_factory):
    """Where the page is served."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp('server')
    options = ['--device', 'cpu', '--port', str(port), '--max-bytes', str(LIMIT), '--max-pixels', str(LIMIT)]
    command = [sys.executable, TOOLS / 'app.py', *tasks_of(configs, lora), *options]
    environment = dict(os.environ, GRADIO_TEMP_DIR=str(folder / 'cache'), OMP_NUM_THREADS='1')
    with (
        open(folder / 'log.txt', 'w') as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment) as server,
    ):
        try:
            wait_for(f'http://127.0.0.1:{port}', server, folder / 'log.txt')
            yield f'http://127.0.0.1:{port}'
        finally:
            server.terminate()


def wait_for(address, server, log):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=PATIENCE).close()
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f'the page did not come up:\n{log.read_text()}')


@pytest.fixture
def page(browser, address):
    """A fresh visit; whatever is asked of other hosts fails the test."""
    context = browser.new_context()
    context.set_default_timeout(1000 * PATIENCE)
    expect.set_options(timeout=1000 * PATIENCE)
    strangers = []

    def answer(route):
        if urlsplit(route.request.url).hostname == '127.0.0.1':
            return route.continue_()
        strangers.append(route.request.url)
        route.abort()

    context.route('**/*', answer)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()
    assert not strangers


def upload(page, file):
    page.locator('#file input[type=file]').set_input_files(file)


def predict(page):
    page.get_by_role('button', name='Predict').click()


def download(page, suffix, folder):
    with page.expect_download() as download:
        page.locator(f'#downloads a[download$="{suffix}"]').click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def shown(page, place):
    """What the browser shows, as it is sent."""
    source = page.locator(f'#{place} img').get_attribute('src')
    return cv2.imdecode(np.frombuffer(page.request.get(source).body(), np.uint8), cv2.IMREAD_UNCHANGED)


def test_upload_predict_and_download(page, configs, lora, photo, tmp_path):
    upload(page, photo)
    page.locator('#input img').wait_for()
    np.testing.assert_array_equal(shown(page, 'input')[..., :3], cv2.imread(str(photo)))
    page.get_by_label('Caption').fill(CAPTION)
    predict(page)
    page.locator('#prediction img').wait_for()
    array, picture = (download(page, suffix, tmp_path) for suffix in ('npz', 'png'))
    assert [array.name, picture.name] == ['bed_normals.npz', 'bed_normals.png']
    normals = np.load(array)['x']
    assert normals.shape == (67, 51, 3) and normals.dtype == np.float32 and normals.std() > 0.01
    expected = TargetInferencer(configs['normals'], lora=lora, device='cpu')(photo, CAPTION)
    np.testing.assert_allclose(normals, expected, atol=1e-4)
    seen = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(seen[..., ::-1] / 255, normals, atol=0.6 / 255)
    np.testing.assert_array_equal(shown(page, 'prediction')[..., :3], seen)


def test_another_task_and_other_steps(page, configs, lora, photo, tmp_path):
    upload(page, photo)
    page.locator('#input img').wait_for()
    page.get_by_role('radio', name='depth').check()
    page.get_by_label('Caption').wait_for(state='hidden')
    steps = page.get_by_role('spinbutton')
    expect(steps).to_have_value('3')
    steps.fill('4')
    predict(page)
    page.locator('#prediction img').wait_for()
    depth = np.load(download(page, 'npz', tmp_path))['x']
    inferencer = TargetInferencer(configs['depth'], lora=lora, device='cpu')
    np.testing.assert_allclose(depth, inferencer(photo, num_steps=4), atol=1e-3)
    seen = cv2.imread(str(download(page, 'png', tmp_path)), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint16
    np.testing.assert_allclose(seen / 65535, (depth / 8).clip(0, 1), atol=1e-5)
    page.get_by_role('radio', name='shading').check()  # a single pass, whatever the slider says
    expect(steps).to_be_disabled()
    page.get_by_role('radio', name='depth').check()
    expect(steps).to_have_value('3')
    expect(steps).to_be_enabled()


def test_bad_uploads_are_told(page, photo, tmp_path):
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'cut.png').write_bytes(photo.read_bytes()[:300])
    (tmp_path / 'empty.jpg').touch()
    upload(page, photo)
    page.locator('#input img').wait_for()
    for name in ('notes.txt', 'cut.png', 'empty.jpg'):
        page.locator('#file').get_by_label('Clear').click()
        page.locator('#input img').wait_for(state='detached')
        upload(page, tmp_path / name)
        page.get_by_text(f'{name}: empty, damaged').first.wait_for()
    assert not page.locator('#input img').count()


def test_limits_are_told(page, tmp_path):
    for name, shape, message in (
        ('large.png', (101, 200, 3), 'large.png: too many pixels, 200 x 101'),
        ('heavy.bmp', (100, 100, 3), 'exceed the maximum allowed size'),
        ('line.png', (1, 200, 3), 'The image has 200 x 1 pixels'),
    ):
        cv2.imwrite(str(tmp_path / name), np.full(shape, 99, np.uint8))
        page.reload()
        page.get_by_role('radio', name='depth').check()
        upload(page, tmp_path / name)
        if name == 'line.png':
            page.locator('#input img').wait_for()
            predict(page)
        page.get_by_text(message).first.wait_for()


def test_what_is_missing_is_told(page, photo):
    predict(page)
    page.get_by_text('There is no image yet: drop one first').wait_for()
    upload(page, photo)
    page.locator('#input img').wait_for()
    predict(page)
    page.get_by_text('caption is missing').wait_for()
    page.get_by_label('Caption').fill('<кровать>')
    predict(page)
    page.get_by_text('has no Latin letter; the text encoder knows English: translate it').wait_for()
    page.get_by_text('<кровать>').wait_for()  # as text, not as HTML
    assert not page.locator('#prediction img').count()


def test_nothing_is_reported(page, address):
    assert page.request.get(f'{address}/config').json()['analytics_enabled'] is False


def test_what_cannot_work_fails_before_there_is_a_page(tool, configs, lora, tmp_path, capsys):
    main = tool('app').main
    for task, message in (
        ((str(configs['depth']), str(tmp_path)), 'LoRA'),
        ((str(tmp_path / 'absent.py'), str(lora)), 'absent.py'),
    ):
        assert main(['--task', 'depth', *task, '--device', 'cpu']) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
    for tasks, message in (
        ((*tasks_of(configs, lora), '--size', '0'), '--size'),
        ((*tasks_of(configs, lora), '--port', '0'), '--port'),
    ):
        with pytest.raises(SystemExit):
            main([*tasks, '--device', 'cpu'])
        assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('name', ['depth', 'a/b', ''])
def test_bad_names(tool, configs, lora, capsys, name):
    with pytest.raises(SystemExit):
        tool('app').main([*tasks_of(configs, lora), '--task', name, 'config.py', 'lora'])
    assert 'expected different names that can stand in the name of a file' in capsys.readouterr().err
