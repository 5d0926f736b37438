"""Use the page in a real browser that can reach no other host. One server with tiny models serves all tests."""

import json
from contextlib import contextmanager
from urllib.parse import urlsplit

import app
import cv2
import numpy as np
import pytest
import tiny_depth
import tiny_pose
import tiny_refer
from browser import open_browser
from mmengine.config import Config
from playwright.sync_api import expect

TINY_SD = dict(type='Pretrained', checkpoint='tiny-sd')
LIMIT = 20_000  # bytes and pixels
PATIENCE = 60_000  # milliseconds at most; the machine may have other things to do
TASKS = ('depth', 'phrase', 'classes', 'pose', 'normals', 'shading')
DMP = dict(
    normals=dict(num_steps=2, guidance_scale=2.0),
    shading=dict(use_prompts=False, sampler='one_pass', prediction_type='sample'),
)


@pytest.fixture(scope='module')
def tasks(tiny_vpd, tiny_checkpoint, adapter, tmp_path_factory):
    """The config and the weights of each task, with tiny models."""
    tasks = dict(classes=(tiny_vpd, tiny_checkpoint))
    for name, tiny in dict(depth=tiny_depth, phrase=tiny_refer, pose=tiny_pose).items():
        folder = tmp_path_factory.mktemp(name)
        config = tiny.write_config(folder)
        tasks[name] = config, tiny.write_checkpoint(config, folder / f'{name}.pth')
    pipeline = [dict(type='Resize', scale=(40, 40))]
    for name, options in DMP.items():
        path = tmp_path_factory.mktemp('dmp') / f'{name}.py'
        model = dict(type='DeterministicDiffusion', arch='tiny-sd', init_cfg=TINY_SD, **options)
        Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=pipeline)))).dump(path)
        tasks[name] = str(path), str(adapter)
    return {name: tasks[name] for name in TASKS}


@pytest.fixture(scope='module')
def args(tasks):
    """The command line."""
    words = [word for name, task in tasks.items() for word in ('--task', name, *task)]
    return app.parse_args([*words, '--device', 'cpu', '--max-bytes', str(LIMIT), '--max-pixels', str(LIMIT)])


@pytest.fixture(scope='module')
def inferencers(args):
    return app.build_inferencers(args)


@pytest.fixture(scope='module')
def server(args, inferencers, tmp_path_factory):
    """The page as it is served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GRADIO_TEMP_DIR', str(tmp_path_factory.mktemp('cache')))
        page = app.start(args, inferencers, prevent_thread_lock=True, quiet=True)
        yield page
        page.close()


@pytest.fixture(scope='module')
def browser():
    with open_browser() as browser:
        yield browser


@contextmanager
def visit(browser, server):
    """Open the page in a new session; a request to any other host fails the test."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    strangers = []

    def answer(route):
        if urlsplit(route.request.url).hostname == '127.0.0.1':
            return route.continue_()
        strangers.append(route.request.url)
        route.abort()

    context.route('**/*', answer)
    page = context.new_page()
    page.goto(server.local_url)
    yield page
    context.close()
    assert not strangers


@pytest.fixture
def page(browser, server):
    with visit(browser, server) as page:
        yield page


def write_photo(path, seed=0):
    """Write an image whose sides no network takes without padding."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(pixels, (51, 67), interpolation=cv2.INTER_CUBIC))
    return path


@pytest.fixture
def photo(tmp_path):
    return write_photo(tmp_path / 'bed.png')


def upload(page, file):
    page.locator('#file input[type=file]').set_input_files(file)


def choose(page, task):
    """Open the tab of a task."""
    page.get_by_role('tab', name=task).click()


def predict(page):
    page.get_by_role('button', name='Predict').click()


def picture(page, place):
    """Wait for a picture of the page, and return it in BGR."""
    source = page.locator(f'#{place} img').get_attribute('src')
    return cv2.imdecode(np.frombuffer(page.request.get(source).body(), np.uint8), cv2.IMREAD_COLOR)


@contextmanager
def redrawn(page):
    """Wait until another input image is shown."""
    image = page.locator('#input img')
    before = image.get_attribute('src')
    yield
    expect(image).not_to_have_attribute('src', before)


def click_pixel(page, x, y, width=51, height=67):
    """Click a pixel of the input image, which is shown at its size."""
    image = page.locator('#input img')
    expect(image).to_have_js_property('complete', True)
    frame = image.bounding_box()
    # The browser rounds down to pixels of its own.
    image.click(position=dict(x=(frame['width'] - width) / 2 + x + 0.49, y=(frame['height'] - height) / 2 + y + 0.49))


def expect_error(page, *parts):
    """Wait for an error message that names all of these."""
    messages = page.get_by_test_id('toast-body')
    for part in parts:
        messages = messages.filter(has_text=part)
    messages.first.wait_for()


def result(page, task):
    return picture(page, f'prediction-{TASKS.index(task)}')


def download(page, task, name, folder):
    """Return the downloaded file."""
    with page.expect_download() as download:
        page.locator(f'#files-{TASKS.index(task)} a[download="{name}"]').click()
    download.value.save_as(folder / name)
    return folder / name


def pixels(inferencer, photo, **options):
    """Return the picture that the inferencer draws, in BGR."""
    return inferencer(photo, return_vis=True, **options)['visualization'][0][..., ::-1]


def test_depth_of_a_scene(page, inferencers, photo, tmp_path):
    upload(page, photo)
    np.testing.assert_array_equal(picture(page, 'input'), cv2.imread(str(photo)))
    page.get_by_label('Scene').click()
    page.get_by_role('option', name='kitchen', exact=True).click()
    predict(page)
    np.testing.assert_array_equal(result(page, 'depth'), pixels(inferencers['depth'], photo, scene='kitchen'))
    depth = np.load(download(page, 'depth', 'bed_depth.npz', tmp_path))['depth']
    (expected,) = inferencers['depth'](photo, scene='kitchen')['predictions']
    np.testing.assert_array_equal(depth, expected['depth'])


def test_classes(page, inferencers, photo, tmp_path):
    upload(page, photo)
    choose(page, 'classes')
    predict(page)
    np.testing.assert_array_equal(result(page, 'classes'), pixels(inferencers['classes'], photo))
    labels = cv2.imread(str(download(page, 'classes', 'bed_labels.png', tmp_path)), cv2.IMREAD_UNCHANGED)
    (expected,) = inferencers['classes'](photo)['predictions']
    np.testing.assert_array_equal(labels, expected['labels'])
    assert '%' in page.get_by_role('textbox', name='Summary').input_value()


def test_normals_and_another_task_of_dmp(page, inferencers, photo, tmp_path):
    upload(page, photo)
    choose(page, 'normals')
    page.get_by_label('Caption').fill('a bed')
    steps = page.get_by_role('spinbutton')
    expect(steps).to_have_value('2')
    steps.fill('3')
    predict(page)
    shown = result(page, 'normals')
    (expected,) = inferencers['normals'](photo, text='a bed', num_steps=3)['predictions']
    normals = np.load(download(page, 'normals', 'bed_normals.npz', tmp_path))['x']
    assert normals.shape == (67, 51, 3) and normals.std() > 0.01
    np.testing.assert_allclose(normals, expected['target'], atol=1e-4)
    np.testing.assert_allclose(shown[..., ::-1] / 255, normals, atol=0.6 / 255)
    choose(page, 'shading')  # without prompts, in a single pass
    expect(page.get_by_label('Caption')).to_be_hidden()
    expect(page.get_by_role('spinbutton')).to_have_count(0)
    predict(page)
    result(page, 'shading')
    names = page.locator('#files-5 a').evaluate_all('links => links.map(link => link.download)')
    assert names == ['bed_shading.npz', 'bed_shading.png']


def test_boxes_are_drawn_and_cleared(page, inferencers, photo, tmp_path):
    """Two clicks on the image are a box."""
    upload(page, photo)
    picture(page, 'input')
    choose(page, 'pose')
    boxes, clear = page.get_by_label('Boxes'), page.get_by_role('button', name='Clear boxes')
    for corner, text in (((40, 60), '40 60'), (None, ''), ((30, 5), '30 5'), ((10, 45), '30 5 10 45')):
        with redrawn(page):
            click_pixel(page, *corner) if corner else clear.click()
        expect(boxes).to_have_value(text)
    predict(page)
    expected = pixels(inferencers['pose'], photo, boxes=[[10, 5, 30, 45]])
    np.testing.assert_array_equal(result(page, 'pose'), expected)
    (person,) = json.loads(download(page, 'pose', 'bed_pose.json', tmp_path).read_text())['people']
    assert person['box'] == [10, 5, 30, 45]
    assert picture(page, 'input')[5, 20].tolist() == [0, 0, 255]
    page.locator('#file').get_by_label('Clear').click()
    expect(boxes).to_have_value('')


def test_two_users_at_once(browser, server, inferencers, tmp_path):
    """Each user gets the result for their own image, task and sentence."""
    with visit(browser, server) as one, visit(browser, server) as two:
        photos = {page: write_photo(tmp_path / f'{seed}.png', seed) for seed, page in enumerate((one, two))}
        for page, photo in photos.items():
            upload(page, photo)
            picture(page, 'input')
        choose(two, 'phrase')
        two.get_by_label('Text').fill('the red sphere')
        predict(one)
        predict(two)
        np.testing.assert_array_equal(result(one, 'depth'), pixels(inferencers['depth'], photos[one]))
        expected = pixels(inferencers['phrase'], photos[two], text='the red sphere')
        np.testing.assert_array_equal(result(two, 'phrase'), expected)
        mask = cv2.imread(str(download(two, 'phrase', '1_mask.png', tmp_path)), cv2.IMREAD_UNCHANGED)
        (expected,) = inferencers['phrase'](photos[two], text='the red sphere')['predictions']
        np.testing.assert_array_equal(mask > 0, expected['mask'])


def test_bad_uploads_are_reported(page, photo, tmp_path):
    """The previous image and its result disappear; the next good image is shown."""
    upload(page, photo)
    predict(page)
    result(page, 'depth')
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'cut.png').write_bytes(photo.read_bytes()[:300])
    (tmp_path / 'empty.jpg').touch()
    for name in ('notes.txt', 'cut.png', 'empty.jpg'):
        page.locator('#file').get_by_label('Clear').click()
        page.locator('#input img').wait_for(state='detached')
        upload(page, tmp_path / name)
        expect_error(page, f'{name}: ')
    assert not page.locator('#input img').count() and not page.locator('#prediction-0 img').count()
    page.locator('#file').get_by_label('Clear').click()
    upload(page, photo)
    picture(page, 'input')


@pytest.mark.parametrize(
    ('name', 'shape', 'parts'),
    [
        ('large.png', (101, 200, 3), ['large.png', '200 x 101', '20000']),
        ('heavy.bmp', (100, 100, 3), ['heavy.bmp', '19.5']),
    ],
)
def test_limits_are_reported(page, name, shape, parts, tmp_path):
    cv2.imwrite(str(tmp_path / name), np.full(shape, 99, np.uint8))
    upload(page, tmp_path / name)
    expect_error(page, *parts)


def test_what_is_missing_or_wrong_is_reported(page, photo):
    choose(page, 'phrase')
    predict(page)
    expect_error(page, 'image')
    upload(page, photo)
    picture(page, 'input')
    predict(page)
    expect_error(page, 'Text')
    page.get_by_label('Text').fill('<кровать>')
    predict(page)
    expect_error(page, '<кровать>')  # as text, not as HTML
    assert not page.locator('#prediction-1 img').count()


def test_nothing_is_reported_to_others(page, server):
    assert page.request.get(f'{server.local_url}config').json()['analytics_enabled'] is False


def test_options(tasks):
    config, weights = tasks['depth']
    args = app.parse_args(['--task', 'depth', config, weights, 'model.test_cfg.mode=slide', '--max-pixels', '3'])
    assert args.task['depth'][0].model.test_cfg.mode == 'slide' and args.task['depth'][1] == weights
    assert (args.max_bytes, args.max_pixels, args.max_queue, args.time_limit) == (50_000_000, 3, 100, 300)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--task', 'depth', 'CONFIG'], 'NAME CONFIG WEIGHTS'),
        (['--task', 'depth', 'absent.py', 'depth.pth'], 'absent.py'),
        (['--task', 'depth', 'CONFIG', 'depth.pth', 'mode'], 'KEY=VALUE'),
    ],
)
def test_bad_options(tasks, arguments, message, capsys):
    with pytest.raises(SystemExit):
        app.main([tasks['depth'][0] if word == 'CONFIG' else word for word in arguments])
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_wrong_weights_are_an_error_before_the_page_opens(tasks, tmp_path, capsys):
    (tmp_path / 'damaged.pth').write_bytes(b'garbage' * 100)
    assert app.main(['--task', 'depth', tasks['depth'][0], str(tmp_path / 'damaged.pth'), '--device', 'cpu']) == 1
    assert 'damaged.pth' in capsys.readouterr().err.splitlines()[-1]
