import json

import cv2
import numpy as np
import pytest
import torch
from logs import heard
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from PIL import Image

from mmdiffperc.inference import ImageInferencer
from mmdiffperc.inference.writers import encode_json


@MODELS.register_module(force=True)
class Brightness(BaseModel):
    """Tells how bright an image is, and remembers the batches and the precision of a product."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(2))
        self.batches = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.batches.append((len(inputs), (self.weight @ self.weight).dtype))
        brightness = [image.float().mean().item() for image in inputs]
        return list(zip(brightness, (sample.metainfo for sample in data_samples), strict=True))


class BrightnessInferencer(ImageInferencer):
    preprocess_kwargs = {'lamp'}
    visualize_kwargs = {'gain'}
    postprocess_kwargs = {'digits'}
    endings = ('_brightness.json',)
    picture_ending = '_bright'

    def describe(self, frame, lamp='off'):
        return dict(lamp=lamp)

    def to_prediction(self, result, frame):
        brightness, information = result
        return dict(brightness=brightness, lamp=information['lamp'], size=frame.pixels.shape[:2])

    def draw(self, image, prediction, gain=1):
        return image[..., ::-1] * gain

    def encode(self, prediction, digits=3):
        return {'_brightness.json': encode_json(dict(brightness=round(prediction['brightness'], digits)))}


@pytest.fixture
def build():
    def build(**settings):
        load, pack = dict(type='LoadImageFromFile'), dict(type='PackSegInputs', meta_keys=('lamp',))
        dataset = dict(pipeline=[load, dict(type='LoadAnnotations'), pack])
        config = dict(default_scope='mmseg', model=dict(type='Brightness'), test_dataloader=dict(dataset=dataset))
        config['test_dataloader']['dataset'].update(type='BaseSegDataset', metainfo=dict(classes=['dark'], palette=[]))
        return BrightnessInferencer(Config(config), device='cpu', show_progress=False, **settings)

    return build


@pytest.fixture
def inferencer(build):
    return build()


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


@pytest.mark.parametrize('batch_size', [0, -1])
def test_batches_without_images(inferencer, image, batch_size):
    with pytest.raises(ValueError, match=f'batch_size={batch_size}'):
        inferencer(image, batch_size=batch_size)


def test_every_kind_of_input(inferencer, photos, image, video, frames):
    bed = image.mean()
    pil = Image.fromarray(image[..., ::-1])
    for one in (photos / 'bed.png', str(photos / 'bed.png'), f'{photos}/b*.png', image, pil):
        results = inferencer(one)
        assert [prediction['brightness'] for prediction in results['predictions']] == [pytest.approx(bed, rel=1e-5)]
        assert results['visualization'] == []
    assert len(inferencer(photos)['predictions']) == 2
    results = inferencer([video, image, photos], return_vis=True)
    assert len(results['predictions']) == len(results['visualization']) == 3 + 1 + 2
    for prediction, frame in zip(results['predictions'], frames, strict=False):
        assert prediction['brightness'] == pytest.approx(frame.mean(), abs=5)
    np.testing.assert_array_equal(results['visualization'][3], image[..., ::-1])


def test_images_of_one_size_go_through_the_model_together(inferencer, image):
    others = image[:40], image + 1
    results = inferencer([image, *others], batch_size=3)
    assert [count for count, _ in inferencer.model.batches] == [2, 1]
    assert [prediction['size'] for prediction in results['predictions']] == [(67, 51), (40, 51), (67, 51)]
    inferencer.model.batches.clear()
    inferencer([image] * 3, batch_size=2)
    assert [count for count, _ in inferencer.model.batches] == [2, 1]


def test_files_of_images(inferencer, photos, image, tmp_path):
    (photos / 'attic').mkdir()
    (photos / 'door.JPG').rename(photos / 'attic' / 'door.JPG')
    (photos / 'metadata.jsonl').write_text('{"file_name": "bed.png"}\n{"file_name": "attic/door.JPG"}\n')
    inferencer(photos, out_dir=tmp_path / 'out', digits=1, gain=2)
    stems = ('attic/door', 'bed')
    assert names(tmp_path / 'out') == [f'{stem}_bright{rest}' for stem in stems for rest in ('.png', 'ness.json')]
    content = json.loads((tmp_path / 'out/bed_brightness.json').read_text())
    assert content == dict(brightness=round(float(image.mean()), 1))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out/bed_bright.png')), image * 2)


def test_a_video_gives_a_video(inferencer, video, frames, tmp_path):
    inferencer(video, batch_size=2, out_dir=tmp_path / 'out')
    numbers = [f'walk/{index:06}_brightness.json' for index in range(3)]
    assert names(tmp_path / 'out') == [*numbers, 'walk_bright.mp4']
    capture = cv2.VideoCapture(str(tmp_path / 'out/walk_bright.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 5
    for frame in frames:
        assert abs(capture.read()[1].astype(int) - frame).mean() < 8
    inferencer.model.batches.clear()
    inferencer(video, out_dir=tmp_path / 'out', skip_existing=True)
    assert not inferencer.model.batches


def test_frames_are_read_as_they_are_needed(inferencer, video):
    results = inferencer.stream(video)
    next(results)
    assert len(inferencer.model.batches) == 1
    results.close()


def test_what_exists_is_skipped(inferencer, photos, tmp_path):
    inferencer(photos / 'bed.png', out_dir=tmp_path / 'out')
    (tmp_path / 'out/door_bright.png').touch()  # one of its two files is not enough
    written = (tmp_path / 'out/bed_bright.png').stat().st_mtime_ns
    results = inferencer(photos, out_dir=tmp_path / 'out', skip_existing=True)
    assert [prediction['size'] for prediction in results['predictions']] == [(45, 51)]
    assert (tmp_path / 'out/bed_bright.png').stat().st_mtime_ns == written
    assert len(inferencer(photos, out_dir=tmp_path / 'out')['predictions']) == 2


def test_damaged_images_do_not_stop_the_others(inferencer, photos, tmp_path):
    (photos / 'a.png').write_bytes((photos / 'bed.png').read_bytes()[:300])
    (photos / 'c.mp4').write_bytes(b'no video')
    done = []
    with pytest.raises(ValueError, match=r'(?s)2 of 4 .*a\.png.*c\.mp4'):
        done.extend(inferencer.stream(photos, batch_size=2, out_dir=tmp_path / 'out'))
    assert [result.frame.source.stem.name for result in done] == ['bed', 'door']
    assert len(names(tmp_path / 'out')) == 4


def test_damaged_images_have_no_prediction(inferencer, photos, image, caplog):
    damaged = photos / 'a.png'
    damaged.write_bytes(b'no image')
    with heard(caplog):
        results = inferencer([image, damaged, photos / 'door.JPG', damaged], batch_size=2, return_vis=True)
    sizes = [prediction and prediction['size'] for prediction in results['predictions']]
    assert sizes == [image.shape[:2], None, (45, 51), None]
    assert [picture is None for picture in results['visualization']] == [False, True, False, True]
    assert list(results['errors']) == [str(damaged)]
    assert results['errors'][str(damaged)] in caplog.text
    assert inferencer(image)['errors'] == {}


@pytest.mark.parametrize('number', [1, 2])
def test_no_image_can_be_read(inferencer, photos, number):
    damaged = photos / 'a.png'
    damaged.write_bytes(b'no image')
    with pytest.raises(ValueError, match='a.png'):
        inferencer([damaged] * number)


def test_inputs_are_compared_before_anything_is_predicted(inferencer, photos, tmp_path):
    twice = [photos / 'bed.png', str(photos / 'bed.png')]
    assert len(inferencer(twice)['predictions']) == 2
    inferencer.model.batches.clear()
    with pytest.raises(ValueError, match='same files'):
        inferencer(twice, out_dir=tmp_path)
    assert not inferencer.model.batches


def test_options_of_a_task(inferencer, image):
    assert inferencer(image, lamp='on')['predictions'][0]['lamp'] == 'on'
    assert BrightnessInferencer.call_options() == {'lamp', 'gain', 'digits'}
    with pytest.raises(ValueError, match='torch'):
        inferencer(image, torch='on')


def test_mixed_precision(build, image):
    for name in ('float32', 'bfloat16'):
        inferencer = build(dtype=name)
        inferencer(image)
        assert inferencer.model.batches[0][1] == getattr(torch, name)
    with pytest.raises(ValueError, match=r"'fp16'.*float32, bfloat16, float16"):
        build(dtype='fp16')


def test_pictures_are_shown(inferencer, image, monkeypatch):
    shown = []
    monkeypatch.setattr(inferencer.visualizer, 'show', shown.append)  # which opens a window
    assert inferencer([image, image], show=True)['visualization'] == []
    assert len(shown) == 2


def test_classes_come_from_the_config_without_those_of_a_checkpoint(build, tmp_path):
    assert list(build().classes) == ['dark']
    meta = dict(dataset_meta=dict(classes=['night'], palette=[[1, 2, 3]]))
    torch.save(dict(state_dict=Brightness().state_dict(), meta=meta), tmp_path / 'a.pth')
    assert build(weights=tmp_path / 'a.pth').classes == ['night']
