import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdiffperc.inference import TargetInferencer
from mmdiffperc.models import DeterministicDiffusion
from mmdiffperc.models.lora import add_attention_lora, save_lora
from mmdiffperc.models.stable_diffusion import build_unet

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
    with pytest.raises(ValueError, match='use_prompts=True needs a caption for each image: expected 1, got 0'):
        inferencer(image)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(), 'Expected a checkpoint or an adapter'),
        (dict(lora=0, precision='int8'), "precision='int8': expected one of fp32, fp16, bf16"),
        (dict(lora=0, size=0), 'size=0: expected a positive number of pixels'),
        (dict(lora=0, guidance_scale=2.0), 'guidance_scale=2.0 needs prompts'),
        (dict(lora=0, num_steps=0), 'num_steps=0: expected a number from 1 to less than 1000'),
        (dict(lora=0, num_steps=1001), 'num_steps=1001: expected a number from 1 to less than 1000'),
    ],
)
def test_what_cannot_work_fails_while_building(adapters, arguments, message):
    arguments = dict(arguments, lora=adapters[0]) if 'lora' in arguments else arguments
    with pytest.raises(ValueError, match=message):
        TargetInferencer(make_config(**UNTOLD), device='cpu', **arguments)


@pytest.mark.parametrize('num_steps', [0, 1001])
def test_impossible_number_of_steps(inferencer, image, num_steps):
    with pytest.raises(ValueError, match=f'num_steps={num_steps}: expected a number from 1'):
        inferencer(image, num_steps=num_steps)


def test_adapter_of_another_base(inferencer, image, tmp_path):
    from tiny_arch import write_arch

    unet = build_unet(write_arch(tmp_path / 'arch'))
    add_attention_lora(unet, r=2)
    save_lora(unet, tmp_path / 'other')
    before = inferencer(image)
    with pytest.raises(ValueError, match='holds no LoRA for this U-Net; nothing was changed'):
        inferencer.load_lora(tmp_path / 'other')
    with pytest.raises(FileNotFoundError, match='No LoRA in the folder'):
        inferencer.load_lora(tmp_path)
    np.testing.assert_array_equal(inferencer(image), before)


def test_config_of_another_model(adapters):
    config = Config(dict(model=dict(type='DiffusionUNet', arch='tiny-sd')))
    with pytest.raises(ValueError, match='Expected a config of DeterministicDiffusion, got one of DiffusionUNet'):
        TargetInferencer(config, lora=adapters[0])


def test_model_is_ready(inferencer):
    assert isinstance(inferencer.model, DeterministicDiffusion) and not inferencer.model.training
