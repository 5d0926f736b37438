"""The inferencer of models that draw their target in one step."""

import cv2
import numpy as np
import pytest
from logs import heard
from mmengine.config import Config
from PIL import Image
from tiny_published import write_published

from mmdiffperc.generative.published import published_settings
from mmdiffperc.inference import build_inferencer
from mmdiffperc.inference.videos import video_writer


def build(folder, weights=None, changes=(), **settings):
    model = dict(type='OneStepDiffusion', **published_settings(folder) | dict(changes))
    return build_inferencer(Config(dict(model=model)), weights or folder, device='cpu', show_progress=False, **settings)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp('published') / 'depth')


@pytest.fixture(scope='module')
def inferencer(folder):
    return build(folder)


def test_a_folder_predicts(inferencer, image):
    (prediction,) = inferencer(image, num_steps=1, ensemble_size=2, seed=4)['predictions']
    assert (prediction['kind'], prediction['unit']) == ('affine', 'none')
    inputs = inferencer.pipeline(image)
    assert inputs.shape[-2:] == image.shape[:2]
    expected = inferencer.model.estimate(inputs, num_steps=1, ensemble_size=2, seed=4)[0, 0]
    np.testing.assert_allclose(prediction['target'], expected.numpy(), atol=1e-5)
    assert [control.name for control in inferencer.controls] == ['num_steps', 'ensemble_size']


def test_steps_of_a_prediction(inferencer, image):
    (prediction,) = inferencer(image, num_steps=2, save_steps=True)['predictions']
    assert list(prediction['steps']) == [999, 499]
    np.testing.assert_array_equal(prediction['steps'][499], prediction['target'])
    with pytest.raises(ValueError, match='ensemble_size=1'):
        inferencer(image, save_steps=True, ensemble_size=3)


def test_settings_replace_those_of_the_model(folder, image):
    changed = build(folder, processing_res=32, tile_size=40, changes=dict(tile_overlap=8))
    assert (changed.model.processing_res, changed.model.tile_size) == (32, 40)
    assert changed(image)['predictions'][0]['target'].shape == image.shape[:2]
    with pytest.raises(ValueError, match='size=64.*processing_res=32'):
        build(folder, processing_res=32, size=64)


def test_options_without_effect(folder, image):
    fixed = build(folder, changes=dict(target_input='zeros', num_steps=1))
    assert fixed.controls == ()
    with pytest.raises(ValueError, match='seed=1'):
        fixed(image, seed=1)


def test_files_say_what_they_hold(inferencer, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'bed.png'), image)
    inferencer(tmp_path / 'bed.png', out_dir=tmp_path / 'out')
    arrays = np.load(tmp_path / 'out/bed.npz')
    assert (arrays['kind'], arrays['unit']) == ('affine', 'none')
    assert arrays['range'].tolist() == [arrays['x'].min(), arrays['x'].max()]
    with Image.open(tmp_path / 'out/bed.png') as picture:
        assert picture.text['kind'] == 'affine' and picture.text['white'] == '1'
        seen = np.asarray(picture) / 65535
    np.testing.assert_allclose(seen, arrays['x'], atol=1e-4)


def test_metres_from_measured_depth(inferencer, image, tmp_path, caplog):
    """As many of the pixels as a sparse sensor measures; an image with a single one stays relative."""
    (relative,) = inferencer(image)['predictions']
    sparse = np.zeros(image.shape[:2])
    sparse[::9, ::7] = 3 * relative['target'][::9, ::7] + 2
    single = np.where(np.arange(sparse.size).reshape(sparse.shape) == 0, sparse, 0)
    for name, depth in (('bed', sparse), ('door', single)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
        (tmp_path / 'depth').mkdir(exist_ok=True)
        np.savez(tmp_path / 'depth' / f'{name}.npz', x=depth)
    options = dict(fit_depth=tmp_path / 'depth', out_dir=tmp_path / 'out')
    with heard(caplog):
        metric, left = inferencer([tmp_path / 'bed.png', tmp_path / 'door.png'], **options)['predictions']
    np.testing.assert_allclose(metric['target'], 3 * relative['target'] + 2, rtol=1e-4)
    assert (metric['kind'], metric['unit'], left['kind']) == ('metric', 'metres', 'affine')
    assert 'door.png' in caplog.text
    with Image.open(tmp_path / 'out/bed.png') as picture:
        assert picture.text['unit'] == 'metres'
        assert float(picture.text['white']) == pytest.approx(metric['target'].max(), rel=1e-4)


def test_measured_depth_of_a_video(inferencer, image, tmp_path, caplog):
    """Each frame has its own file; nothing was measured in the last one."""
    frames = [image[:64, :48, ::-1], image[3:67, 3:51, ::-1], image[:64, :48, ::-1]]
    with video_writer(tmp_path / 'clip.mp4', 5) as append:
        for frame in frames:
            append(np.ascontiguousarray(frame))
    (tmp_path / 'depth/clip').mkdir(parents=True)
    for index, scale in enumerate((1, 1, 0)):
        depth = scale * np.linspace(1 + index, 2 + index, 64 * 48).reshape(64, 48)
        np.savez(tmp_path / f'depth/clip/{index:06}.npz', x=depth)
    options = dict(num_steps=1, fit_depth=tmp_path / 'depth')
    with heard(caplog):
        first, second, last = inferencer(tmp_path / 'clip.mp4', **options)['predictions']
    assert (first['kind'], second['kind'], last['kind']) == ('metric', 'metric', 'affine')
    assert 'clip.mp4, frame 2,' in caplog.text
    assert (first['target'].mean(), second['target'].mean()) == pytest.approx((1.5, 2.5), abs=0.01)
