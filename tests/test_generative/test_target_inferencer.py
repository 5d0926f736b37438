import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdiffperc.generative import DeterministicDiffusion, TargetInferencer
from mmdiffperc.generative.target_inferencer import resized_side
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import add_attention_lora, save_lora

from .conftest import make_config

UNTOLD = dict(use_prompts=False)


@pytest.fixture(scope='module')
def inferencer(adapters) -> TargetInferencer:
    return TargetInferencer(make_config(**UNTOLD), lora=adapters[0], device='cpu')


@pytest.mark.parametrize(('mode', 'scale'), [('RGB', 1.0), ('F', 8.0)])
def test_any_size_in_and_out(adapters, image, mode, scale):
    """What the model says of the image whose shorter side is 40, resized."""
    options = dict(UNTOLD, target_mode=mode, target_scale=scale)
    inferencer = TargetInferencer(make_config(**options), lora=adapters[0], device='cpu')
    target = inferencer(image)
    assert target.shape == ((67, 51, 3) if mode == 'RGB' else (67, 51)) and target.dtype == np.float32
    inputs = inferencer._prepare(image)
    assert inputs.shape == (1, 3, 52, 40)
    expected = cv2.resize(image, (40, 52), interpolation=cv2.INTER_AREA)[..., ::-1] / 127.5 - 1
    assert np.abs(inputs[0].permute(1, 2, 0).numpy() - expected).mean() < 0.03
    maps = inferencer.model.estimate(inputs)[0].permute(1, 2, 0).numpy()
    assert np.abs(cv2.resize(target, (40, 52), interpolation=cv2.INTER_AREA) - maps.squeeze()).mean() < 0.03 * scale


def test_size(adapters, image):
    model = dict(make_config(**UNTOLD).model)
    as_it_is = TargetInferencer(Config(dict(model=model)), lora=adapters[0], device='cpu')
    np.testing.assert_array_equal(as_it_is._prepare(image)[0].shape, (3, 67, 51))
    larger = TargetInferencer(make_config(**UNTOLD), lora=adapters[0], size=64, device='cpu')
    np.testing.assert_array_equal(larger._prepare(image)[0].shape, (3, 84, 64))
    assert as_it_is(image).shape == larger(image).shape == (67, 51, 3)


def test_no_image_is_made_endless(adapters, inferencer, tmp_path):
    """A shorter side of one pixel would make 40 x 120,000 of 1 x 3,000; without resizing it is small as it is."""
    assert inferencer.read(np.zeros((5, 40, 3), np.uint8)).shape == (5, 40, 3)
    with pytest.raises(ValueError, match=r'41 x 5 pixels.*\b8\b'):
        inferencer(np.zeros((5, 41, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'line.png'), np.zeros((3000, 1, 3), np.uint8))
    for predict in (
        inferencer,
        lambda image: inferencer.predict_batch([image]),
        lambda image: [*inferencer.trace(image)],
    ):
        with pytest.raises(ValueError, match='line.png.*1 x 3000 pixels'):
            predict(tmp_path / 'line.png')
    model = dict(make_config(**UNTOLD).model)
    as_it_is = TargetInferencer(Config(dict(model=model)), lora=adapters[0], device='cpu')
    assert as_it_is(np.zeros((1, 100, 3), np.uint8)).shape == (1, 100, 3)


def test_time_limit(inferencer, image):
    """Looked at between steps, of which no further one is begun."""
    seen = []
    handle = inferencer.model.unet.register_forward_pre_hook(lambda *_: seen.append(1))
    with pytest.raises(TimeoutError):
        inferencer(image, num_steps=3, time_limit=0)
    assert len(seen) == 1
    np.testing.assert_array_equal(inferencer(image, num_steps=3, time_limit=3600), inferencer(image, num_steps=3))
    handle.remove()


def test_file_and_array_are_the_same(inferencer, photos, image):
    np.testing.assert_array_equal(inferencer(photos / 'bed.png'), inferencer(image))


def test_steps(inferencer, image):
    steps = list(inferencer.trace(image, num_steps=3))
    assert [step.shape for step in steps] == [(67, 51, 3)] * 3
    assert np.abs(steps[1] - steps[0]).max() > 1e-3
    np.testing.assert_array_equal(steps[-1], inferencer(image, num_steps=3))
    assert np.abs(steps[-1] - inferencer(image)).max() > 1e-3


def test_exchanged_adapter_equals_a_fresh_load(adapters, image):
    """There and back, between all layers and self-attention only."""
    fresh = [TargetInferencer(make_config(**UNTOLD), lora=lora, device='cpu')(image) for lora in adapters]
    assert np.abs(fresh[0] - fresh[1]).max() > 0.05
    inferencer = TargetInferencer(make_config(**UNTOLD), lora=adapters[0], device='cpu')
    base = inferencer.model.unet.conv_in.weight
    for index in (1, 0, 1):
        inferencer.load_lora(adapters[index])
        np.testing.assert_array_equal(inferencer(image), fresh[index])
    assert inferencer.model.unet.conv_in.weight is base


def test_another_target_on_the_same_base(adapters, image, inferencer):
    """Kind of target, size and process are those of the other config; a size that was asked for stays."""
    depth = make_config(target_mode='F', target_scale=8.0, num_steps=2)
    depth.test_dataloader.dataset.pipeline[0].scale = (32, 32)
    switched = TargetInferencer(make_config(**UNTOLD), lora=adapters[0], device='cpu')
    switched.switch(depth, adapters[1], **UNTOLD)
    expected = TargetInferencer(depth, lora=adapters[1], device='cpu', **UNTOLD)
    np.testing.assert_array_equal(switched(image), expected(image))
    asked = TargetInferencer(make_config(**UNTOLD), lora=adapters[0], size=24, device='cpu')
    asked.switch(depth, adapters[1])
    assert asked._prepare(image).shape[-1] == 24


def test_another_target_on_another_base(adapters, image, inferencer, tmp_path):
    """Refused, and nothing is changed; neither is it by an adapter that does not fit."""
    before = inferencer(image)
    other = make_config(**UNTOLD)
    other.model.init_cfg.checkpoint = 'no/such-model'
    for config, lora, error, message in (
        (other, adapters[1], ValueError, "'tiny-sd'.*'no/such-model'"),
        (make_config(**UNTOLD, target_mode='F'), tmp_path, FileNotFoundError, f'LoRA.*{tmp_path}'),
        (make_config(**UNTOLD, num_steps=0), adapters[1], ValueError, 'num_steps=0'),
    ):
        with pytest.raises(error, match=message):
            inferencer.switch(config, lora)
        np.testing.assert_array_equal(inferencer(image), before)
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'model.pth')
    config = make_config(**UNTOLD, lora=dict(r=3))
    trained = TargetInferencer(config, tmp_path / 'model.pth', device='cpu')
    with pytest.raises(ValueError, match='checkpoint'):
        trained.switch(config, adapters[1])


def test_batch_equals_one_by_one(adapters, image, photos):
    """Images of three sizes, of which two become the same in the model; files and arrays."""
    config = make_config(guidance_scale=2.0, target_mode='F', target_scale=8.0)
    inferencer = TargetInferencer(config, lora=adapters[0], device='cpu')
    enlarged = cv2.resize(image[:, ::-1], (102, 134))
    images = [photos / 'bed.png', image[:45], enlarged, image[::-1]]
    captions = ['a bed', 'a red sphere', 'two boxes', 'a door']
    seen = []
    handle = inferencer.model.unet.register_forward_pre_hook(lambda unet, inputs: seen.append(inputs[0].shape))
    batch = inferencer.predict_batch(images, captions, num_steps=2)
    handle.remove()
    assert seen == [(6, 4, 7, 5)] * 2 + [(2, 4, 5, 6)] * 2  # twice as many, for guidance
    assert [target.shape for target in batch] == [(67, 51), (45, 51), (134, 102), (67, 51)]
    for target, *arguments in zip(batch, images, captions, strict=True):
        np.testing.assert_allclose(target, inferencer(*arguments, num_steps=2), atol=1e-3)
    assert np.abs(batch[0] - batch[3]).max() > 0.1
    with pytest.raises(ValueError, match=r'caption.*\b4\b.*\b3\b'):
        inferencer.predict_batch(images, captions[:3])
    with pytest.raises(ValueError, match=r'caption.*\b3\b.*\b0\b'):
        inferencer.predict_batch(images)


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_half_precision(adapters, image, inferencer, precision):
    half = TargetInferencer(make_config(**UNTOLD), lora=adapters[1], precision=precision, device='cpu')
    half.load_lora(adapters[0])
    assert {weight.dtype for weight in half.model.parameters()} == {
        dict(bf16=torch.bfloat16, fp16=torch.half)[precision]
    }
    found, expected = half(image), inferencer(image)
    assert found.dtype == np.float32 and 0 < np.abs(found - expected).mean() < 0.02


def test_checkpoint_needs_no_stable_diffusion(adapters, image, inferencer, tmp_path):
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'model.pth')
    config = make_config(**UNTOLD, lora=dict(r=3))
    config.model.init_cfg.checkpoint = 'no/such-model'
    loaded = TargetInferencer(config, tmp_path / 'model.pth', device='cpu')
    np.testing.assert_array_equal(loaded(image), inferencer(image))
    other = TargetInferencer(config, tmp_path / 'model.pth', adapters[1], device='cpu')
    assert np.abs(other(image) - inferencer(image)).max() > 0.05


def test_captions(adapters, image):
    inferencer = TargetInferencer(make_config(guidance_scale=2.0), lora=adapters[0], device='cpu')
    assert np.abs(inferencer(image, 'a red sphere') - inferencer(image, 'two boxes')).max() > 1e-3
    with pytest.raises(ValueError, match=r'use_prompts=True.*caption.*\b1\b.*\b0\b'):
        inferencer(image)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(), 'checkpoint'),
        (dict(lora=0, precision='int8'), "precision='int8'.*fp32, fp16, bf16"),
        (dict(lora=0, size=0), 'size=0.*pixels'),
        (dict(lora=0, guidance_scale=2.0), 'guidance_scale=2.0'),
        (dict(lora=0, num_steps=0), 'num_steps=0'),
        (dict(lora=0, num_steps=1001), r'num_steps=1001.*\b1\b.*1000'),
    ],
)
def test_what_cannot_work_fails_while_building(adapters, arguments, message):
    arguments = dict(arguments, lora=adapters[0]) if 'lora' in arguments else arguments
    with pytest.raises(ValueError, match=message):
        TargetInferencer(make_config(**UNTOLD), device='cpu', **arguments)


@pytest.mark.parametrize('num_steps', [0, 1001])
def test_impossible_number_of_steps(inferencer, image, num_steps):
    with pytest.raises(ValueError, match=rf'num_steps={num_steps}.*\b1\b'):
        inferencer(image, num_steps=num_steps)


def test_adapter_of_another_base(inferencer, image, tmp_path):
    from tiny_arch import write_arch

    unet = build_unet(write_arch(tmp_path / 'arch'))
    add_attention_lora(unet, r=2)
    save_lora(unet, tmp_path / 'other')
    before = inferencer(image)
    with pytest.raises(ValueError, match=str(tmp_path / 'other')):
        inferencer.load_lora(tmp_path / 'other')
    with pytest.raises(FileNotFoundError, match=f'LoRA.*{tmp_path}'):
        inferencer.load_lora(tmp_path)
    np.testing.assert_array_equal(inferencer(image), before)


def test_config_of_another_model(adapters):
    config = Config(dict(model=dict(type='DiffusionUNet', arch='tiny-sd')))
    with pytest.raises(ValueError, match='DeterministicDiffusion.*DiffusionUNet'):
        TargetInferencer(config, lora=adapters[0])
    config.model.type = 'EncoderDecoder'  # of a host
    with pytest.raises(ValueError, match='DeterministicDiffusion.*EncoderDecoder'):
        TargetInferencer(config, lora=adapters[0])


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


def test_model_is_ready(inferencer):
    assert isinstance(inferencer.model, DeterministicDiffusion) and not inferencer.model.training


def test_prediction_that_is_not_finite(adapters, image):
    """An array could show it, but the picture would just be black."""
    inferencer = TargetInferencer(make_config(**UNTOLD), lora=adapters[0], device='cpu')
    inferencer.model.unet.conv_out.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match='NaN.*float32.*bf16'):
        inferencer(image)
