import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from logs import heard
from mmengine.config import Config
from tiny_captioners import save_blip

from mmdiffperc.generative import DeterministicDiffusion, TargetCodec, TargetInferencer
from mmdiffperc.generative.image_captioner import ImageCaptioner
from mmdiffperc.generative.target_inferencer import resized_side, to_picture
from mmdiffperc.inference import build_inferencer
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import add_attention_lora, save_lora

from .conftest import make_config

UNTOLD = dict(use_prompts=False)
DEPTH = dict(UNTOLD, target_mode='F', target_scale=8.0)
NORMALS = dict(guidance_scale=2.0, prediction_type='epsilon')

build = partial(TargetInferencer, device='cpu', show_progress=False)


def predict(inferencer, *arguments, **options) -> np.ndarray:
    (prediction,) = inferencer(*arguments, **options)['predictions']
    return prediction['target']


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


@pytest.fixture(scope='module')
def inferencer(adapters) -> TargetInferencer:
    return build(make_config(**UNTOLD), adapters[0])


@pytest.fixture(scope='module')
def told(adapters) -> TargetInferencer:
    """For depth, with captions."""
    return build(make_config(guidance_scale=2.0, target_mode='F', target_scale=8.0), adapters[0])


@pytest.mark.parametrize(('mode', 'scale'), [('RGB', 1.0), ('F', 8.0)])
def test_any_size_in_and_out(adapters, image, mode, scale):
    """What the model says of the image whose shorter side is 40, resized."""
    inferencer = build(make_config(**UNTOLD, target_mode=mode, target_scale=scale), adapters[0])
    target = predict(inferencer, image)
    assert target.shape == ((67, 51, 3) if mode == 'RGB' else (67, 51)) and target.dtype == np.float32
    inputs = inferencer.pipeline(image)
    assert inputs.shape == (1, 3, 52, 40)
    expected = cv2.resize(image, (40, 52), interpolation=cv2.INTER_AREA)[..., ::-1] / 127.5 - 1
    assert np.abs(inputs[0].permute(1, 2, 0).numpy() - expected).mean() < 0.03
    maps = inferencer.model.estimate(inputs)[0].permute(1, 2, 0).numpy()
    assert np.abs(cv2.resize(target, (40, 52), interpolation=cv2.INTER_AREA) - maps.squeeze()).mean() < 0.03 * scale


def test_size(adapters, image):
    model = Config(dict(model=make_config(**UNTOLD).model))
    assert build(model, adapters[0]).pipeline(image).shape[2:] == (67, 51)
    larger = build(make_config(**UNTOLD), adapters[0], size=64)
    assert larger.pipeline(image).shape[2:] == (84, 64)
    assert predict(larger, image).shape == (67, 51, 3)


def test_elongated_images(adapters, inferencer, tmp_path):
    """40 pixels as the shorter side would make 40 x 120,000 of 1 x 3,000; without resizing it stays small."""
    assert inferencer.read(np.zeros((5, 40, 3), np.uint8)).shape == (5, 40, 3)
    with pytest.raises(ValueError, match=r'41 x 5 pixels.*\b8\b'):
        inferencer(np.zeros((5, 41, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'line.png'), np.zeros((3000, 1, 3), np.uint8))
    with pytest.raises(ValueError, match='line.png.*1 x 3000 pixels'):
        inferencer(tmp_path / 'line.png')
    model = Config(dict(model=make_config(**UNTOLD).model))
    assert predict(build(model, adapters[0]), np.zeros((1, 100, 3), np.uint8)).shape == (1, 100, 3)


def test_time_limit(inferencer, image):
    """Without time left, the U-Net does not start; a limit that is not reached changes nothing."""
    seen = []
    handle = inferencer.model.unet.register_forward_pre_hook(lambda *_: seen.append(1))
    with pytest.raises(TimeoutError, match=r'\b0 seconds'):
        inferencer(image, num_steps=3, time_limit=0)
    assert not seen
    limited = predict(inferencer, image, num_steps=3, time_limit=3600)
    np.testing.assert_array_equal(limited, predict(inferencer, image, num_steps=3))
    handle.remove()


def test_files_of_colours(inferencer, photos, image, tmp_path):
    """A folder with a damaged image, whose other images are done; what is done is skipped."""
    (photos / 'a.png').write_bytes((photos / 'bed.png').read_bytes()[:50])
    results = inferencer(photos, out_dir=tmp_path / 'out', batch_size=2)
    assert list(results['errors']) == [str(photos / 'a.png')]
    assert names(tmp_path / 'out') == ['bed.npz', 'bed.png', 'door.npz', 'door.png']
    target = np.load(tmp_path / 'out/bed.npz')['x']
    np.testing.assert_array_equal(target, predict(inferencer, image))
    seen = cv2.imread(str(tmp_path / 'out/bed.png'), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint8
    np.testing.assert_allclose(seen[..., ::-1] / 255, target, atol=0.5 / 255 + 1e-6)
    (photos / 'a.png').unlink()
    (tmp_path / 'out/bed.npz').write_bytes(b'untouched')
    (tmp_path / 'out/door.npz').unlink()
    assert len(inferencer(photos, out_dir=tmp_path / 'out', skip_existing=True)['predictions']) == 1
    assert (tmp_path / 'out/bed.npz').read_bytes() == b'untouched'


def test_a_damaged_image_among_captions(told, photos):
    damaged = photos / 'a.png'
    damaged.write_bytes(b'no image')
    results = told([damaged, photos / 'bed.png'], text=['a', 'a bed'], num_steps=1)
    assert [prediction is None for prediction in results['predictions']] == [True, False]
    assert list(results['errors']) == [str(damaged)]


def test_files_of_one_channel(told, photos, tmp_path):
    """16 bits, whose white is 8 metres; and a picture after each step."""
    results = told(
        photos / 'bed.png', text='a bed', num_steps=2, save_steps=True, out_dir=tmp_path / 'out', return_vis=True
    )
    assert names(tmp_path / 'out') == ['bed.npz', 'bed.png', 'bed_499.png', 'bed_999.png']
    depth = np.load(tmp_path / 'out/bed.npz')['x']
    first, last, seen = (
        cv2.imread(str(tmp_path / f'out/bed{step}.png'), cv2.IMREAD_UNCHANGED) for step in ('_999', '_499', '')
    )
    assert seen.dtype == np.uint16
    np.testing.assert_allclose(seen / 65535, (depth / 8).clip(0, 1), atol=1e-5)
    np.testing.assert_array_equal(seen, last)
    assert (first != last).any()
    (picture,) = results['visualization']
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.stack([seen >> 8] * 3, axis=2))
    assert list(results['predictions'][0]['steps']) == [999, 499]


def test_picture():
    depth = np.array([[0, 0.25, 1.5], [0.5, 1, 0]], np.float32)
    for scale, white in ((8.0, 8), ('per_image', 1)):
        picture = to_picture(depth * white, TargetCodec('F', scale))
        assert picture.dtype == np.uint16 and picture.tolist() == [[0, 16384, 65535], [32768, 65535, 0]]
    colour = np.full((1, 1, 3), 0.4 / 255, np.float32)
    assert to_picture(colour, TargetCodec()).tolist() == [[[0, 0, 0]]]
    assert to_picture(colour * 1.5, TargetCodec()).tolist() == [[[1, 1, 1]]]


def test_captions(told, photos, tmp_path):
    """One for all images, one for each, from a text file in the order of names, and from the metadata."""
    captions = ['a bed', 'two boxes']
    expected = [
        predict(told, photos / name, text=text) for name, text in zip(['bed.png', 'door.JPG'], captions, strict=True)
    ]
    assert np.abs(expected[0] - predict(told, photos / 'bed.png', text='two boxes')).max() > 1e-3
    (tmp_path / 'captions.txt').write_text('\n'.join(captions))
    lines = [dict(file_name='door.JPG', text=captions[1]), dict(file_name='bed.png', text=captions[0])]
    for text in (captions, tmp_path / 'captions.txt', None):
        if text is None:
            (photos / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, lines)))
        for found, target in zip(told(photos, text=text)['predictions'], expected, strict=True):
            np.testing.assert_array_equal(found['target'], target)


def test_missing_captions(told, photos, tmp_path):
    with pytest.raises(ValueError, match='use_prompts=True.*bed.png'):
        told(photos / 'bed.png')
    for number in (0, 3):
        with pytest.raises(ValueError, match=rf'text.*\b2\b.*\b{number}\b'):
            told(photos, text=['a bed'] * number)
    (tmp_path / 'captions.txt').write_text('a bed\n' * 3)
    with pytest.raises(ValueError, match=r'captions.txt.*\b2\b.*\b3\b'):
        told(photos, text=tmp_path / 'captions.txt')


def test_caption_model(adapters, told, photos, tmp_path):
    """It captions the images without a caption, but no others."""
    model = save_blip(tmp_path)
    config = make_config(guidance_scale=2.0, target_mode='F', target_scale=8.0)
    inferencer = build(config, adapters[0], caption_model=model)
    (photos / 'metadata.jsonl').write_text('{"file_name": "bed.png", "text": "a bed"}\n{"file_name": "door.JPG"}')
    captions = ['a bed', *ImageCaptioner(model).caption([cv2.imread(str(photos / 'door.JPG'))])]
    expected = told(photos, text=captions)['predictions']
    for found, target in zip(inferencer(photos)['predictions'], expected, strict=True):
        np.testing.assert_array_equal(found['target'], target['target'])


def test_repeated_captions(told, image, caplog):
    """Two captions are repeated for three images, in the order of the images."""
    images, captions = [image, image[::-1], image[:, ::-1]], ['a bed', 'a door']
    with heard(caplog):
        found = told(images, text=captions)['predictions']
    assert 'text: repeating 2 captions for 3 images' in caplog.text
    expected = told(images, text=[*captions, 'a bed'])['predictions']
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one['target'], other['target'])


def test_first_samples(told, photos):
    """The captions belong to all images, of which the first are predicted."""
    captions = ['a bed', 'a door']
    (found,) = told(photos, text=captions, num_samples=1)['predictions']
    np.testing.assert_array_equal(found['target'], predict(told, photos / 'bed.png', text='a bed'))
    assert len(told(photos, text=captions, num_samples=9)['predictions']) == 2


def test_given_latents(inferencer, photos, image, tmp_path):
    """Those of the image give what the image gives; those of another one give what that gives."""
    latents = inferencer.model.networks.encode(inferencer.pipeline(image[::-1]))[0].numpy()  # 67 x 51, 52 x 40 inside
    assert latents.shape == (8, 7, 5)
    np.savez(tmp_path / 'bed.npz', x=latents)
    found = predict(inferencer, photos / 'bed.png', image_latents=tmp_path)
    np.testing.assert_allclose(found, predict(inferencer, image[::-1]), atol=1e-5)
    with pytest.raises(FileNotFoundError, match='door.npz'):
        inferencer(photos, image_latents=tmp_path, batch_size=2)
    np.savez(tmp_path / 'bed.npz', x=latents[:, 1:])
    with pytest.raises(ValueError, match=r'bed.npz.*\(8, 7, 5\).*\(52, 40\).*\(8, 6, 5\)'):
        inferencer(photos / 'bed.png', image_latents=tmp_path)


def test_batch_equals_one_by_one(told, image, photos):
    """Images of three sizes, two of which become the same in the model; files and arrays."""
    enlarged = cv2.resize(image[:, ::-1], (102, 134))
    images = [photos / 'bed.png', image[:45], enlarged, image[::-1]]
    captions = ['a bed', 'a red sphere', 'two boxes', 'a door']
    seen = []
    handle = told.model.unet.register_forward_pre_hook(lambda unet, inputs: seen.append(inputs[0].shape))
    batch = [each['target'] for each in told(images, batch_size=4, text=captions, num_steps=2)['predictions']]
    handle.remove()
    assert seen == [(6, 8, 7, 5)] * 2 + [(2, 8, 5, 6)] * 2  # twice as many, for guidance
    assert [target.shape for target in batch] == [(67, 51), (45, 51), (134, 102), (67, 51)]
    for target, one, text in zip(batch, images, captions, strict=True):
        np.testing.assert_allclose(target, predict(told, one, text=text, num_steps=2), atol=1e-3)
    assert np.abs(batch[0] - batch[3]).max() > 0.1


def test_exchanged_adapter_equals_a_fresh_load(adapters, image):
    """There and back, between all layers and self-attention only."""
    fresh = [predict(build(make_config(**UNTOLD), lora), image) for lora in adapters]
    assert np.abs(fresh[0] - fresh[1]).max() > 0.05
    inferencer = build(make_config(**UNTOLD), adapters[0])
    for index in (1, 0, 1):
        inferencer.load_lora(adapters[index])
        np.testing.assert_array_equal(predict(inferencer, image), fresh[index])


@pytest.fixture(scope='module')
def tasks(adapters):
    """Two tasks that have nothing in common but their Stable Diffusion."""
    normals = make_config(**NORMALS)
    normals.test_dataloader.dataset.pipeline[0].scale = (32, 32)
    return dict(depth=(make_config(**DEPTH), adapters[0], None), normals=(normals, adapters[1], 'a red sphere'))


def predict_alone(config, lora, text, image):
    """The prediction of a model that shares nothing."""
    model = DeterministicDiffusion(**{name: value for name, value in config.model.items() if name != 'type'})
    model.init_weights()
    model.load_lora(lora)
    inferencer = build(config, lora)
    inferencer.model = model.eval()
    return predict(inferencer, image, text=text)


def test_tasks_on_one_base(tasks, image):
    """Adapters share the weights, and each thread gets what it would get alone."""
    alone = {name: predict_alone(*task, image) for name, task in tasks.items()}
    inferencers = {name: build(config, lora) for name, (config, lora, _) in tasks.items()}
    one, other = (inferencer.model for inferencer in inferencers.values())
    assert one.unet.conv_in.weight is other.unet.conv_in.weight and one.unet is not other.unet
    assert one.autoencoder is other.autoencoder and one.text_encoder is other.text_encoder

    def run(name):
        return predict(inferencers[name], image, text=tasks[name][2])

    chosen = list(tasks) * 3
    with ThreadPoolExecutor(4) as threads:
        for name, found in zip(chosen, threads.map(run, chosen), strict=True):
            np.testing.assert_array_equal(found, alone[name])


def test_other_bases_share_nothing(inferencer, adapters, tmp_path):
    variant = make_config(**UNTOLD)
    variant.model.init_cfg.components = ('unet', 'vae', 'text_encoder')
    half = build(make_config(**UNTOLD), adapters[0], dtype='bfloat16')
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'model.pth')
    trained = build(make_config(**UNTOLD, lora=dict(r=3)), tmp_path / 'model.pth')
    weights = [each.model.unet.conv_in.weight for each in (inferencer, build(variant, adapters[0]), half, trained)]
    assert len(set(map(id, weights))) == 4


def test_an_adapter_that_does_not_fit_leaves_the_others(inferencer, adapters, image, tmp_path):
    from tiny_arch import write_arch

    unet = build_unet(write_arch(tmp_path / 'arch'))
    add_attention_lora(unet, r=2)
    save_lora(unet, tmp_path / 'other')
    before = predict(inferencer, image)
    for load in (inferencer.load_lora, partial(build, make_config(**UNTOLD))):
        with pytest.raises(ValueError, match=str(tmp_path / 'other')):
            load(tmp_path / 'other')
        with pytest.raises(FileNotFoundError, match=f'LoRA.*{tmp_path}'):
            load(tmp_path)
        np.testing.assert_array_equal(predict(inferencer, image), before)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision(adapters, image, inferencer, dtype):
    half = build(make_config(**UNTOLD), adapters[1], dtype=dtype)
    half.load_lora(adapters[0])
    assert {weight.dtype for weight in half.model.parameters()} == {getattr(torch, dtype)}
    found, expected = predict(half, image), predict(inferencer, image)
    assert found.dtype == np.float32 and 0 < np.abs(found - expected).mean() < 0.02


def test_checkpoint_needs_no_stable_diffusion(adapters, image, inferencer, tmp_path):
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'model.pth')
    config = make_config(**UNTOLD, lora=dict(r=3))
    config.model.init_cfg.checkpoint = 'no/such-model'
    loaded = build_inferencer(config, tmp_path / 'model.pth', device='cpu', show_progress=False)
    assert isinstance(loaded, TargetInferencer)
    np.testing.assert_array_equal(predict(loaded, image), predict(inferencer, image))
    loaded.load_lora(adapters[1])
    assert np.abs(predict(loaded, image) - predict(inferencer, image)).max() > 0.05


@pytest.mark.parametrize(
    ('options', 'arguments', 'message'),
    [
        (dict(), dict(weights=None), 'checkpoint'),
        (dict(), dict(dtype='int8'), "dtype='int8'.*float32"),
        (dict(), dict(size=0), 'size=0.*pixels'),
        (dict(guidance_scale=2.0), dict(), 'guidance_scale=2.0'),
        (dict(num_steps=0), dict(), 'num_steps=0'),
        (dict(num_steps=1001), dict(), r'num_steps=1001.*\b1\b.*1000'),
    ],
)
def test_what_cannot_work_fails_while_building(adapters, options, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**dict(model=make_config(**UNTOLD | options), weights=adapters[0]) | arguments)


@pytest.mark.parametrize('num_steps', [0, 1001])
def test_impossible_number_of_steps(inferencer, image, num_steps):
    with pytest.raises(ValueError, match=rf'num_steps={num_steps}.*\b1\b'):
        inferencer(image, num_steps=num_steps)


@pytest.mark.parametrize('kind', ['DiffusionUNet', 'EncoderDecoder'])
def test_config_of_another_model(adapters, kind):
    with pytest.raises(ValueError, match=f'DeterministicDiffusion.*{kind}'):
        build(Config(dict(model=dict(type=kind, arch='tiny-sd'))), adapters[0])


@pytest.mark.parametrize(
    ('transform', 'size'),
    [(dict(scale=(60, 40)), 40), (dict(scale_factor=0.5), None), (dict(scale=(60, 40), keep_ratio=True), 40)],
)
def test_size_of_the_test_pipeline(transform, size):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', **transform)]
    assert resized_side(Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))) == size
    assert resized_side(Config(dict(model=dict()))) is None


def test_size_of_a_wrapped_data_set_and_a_type_with_a_scope():
    dataset = dict(type='ImageTargetDataset', pipeline=[dict(type='mmcv.Resize', scale=(60, 40))])
    wrapped = dict(type='RepeatDataset', times=2, dataset=dataset)
    assert resized_side(Config(dict(test_dataloader=dict(dataset=wrapped)))) == 40


def test_controls(inferencer, told, adapters):
    """The page asks for what the model takes."""
    one_pass = make_config(**UNTOLD, sampler='one_pass', prediction_type='sample')
    found = [[control.name for control in each.controls] for each in (told, inferencer, build(one_pass, adapters[0]))]
    assert found == [['text', 'num_steps'], ['num_steps'], []]


def test_prediction_that_is_not_finite(inferencer, image):
    """An array could show it, but the picture would just be black."""

    def spoil(unet, inputs, output):
        output.sample.fill_(torch.nan)

    handle = inferencer.model.unet.register_forward_hook(spoil)
    with pytest.raises(ValueError, match='NaN.*float32.*bfloat16'):
        inferencer(image)
    handle.remove()
