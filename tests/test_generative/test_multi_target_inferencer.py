from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdiffperc.generative import MultiTargetInferencer, TargetInferencer

from .conftest import make_config

CPU = dict(device='cpu')
DEPTH = dict(use_prompts=False, target_mode='F', target_scale=8.0)
NORMALS = dict(guidance_scale=2.0, prediction_type='epsilon')


@pytest.fixture(scope='module')
def tasks(adapters):
    """Two tasks that have nothing in common but their Stable Diffusion."""
    normals = make_config(**NORMALS)
    normals.test_dataloader.dataset.pipeline[0].scale = (32, 32)
    return dict(depth=(make_config(**DEPTH), adapters[0]), normals=(normals, adapters[1]))


def predict(inferencer, name, image):
    caption = None if name == 'depth' else 'a red sphere'
    return inferencer.select(name)(image, caption)


def test_tasks_on_one_base_are_as_if_alone(tasks, image):
    """There and back, with another adapter, kind of target, size, prompts and process."""
    alone = {name: TargetInferencer(config, lora=lora, **CPU) for name, (config, lora) in tasks.items()}
    inferencer = MultiTargetInferencer(tasks, **CPU)
    weight = inferencer.select('depth').model.unet.conv_in.weight
    for name in ('normals', 'normals', 'depth', 'normals'):
        expected = alone[name](image, None if name == 'depth' else 'a red sphere')
        np.testing.assert_array_equal(predict(inferencer, name, image), expected)
        assert inferencer.select(name).model.unet.conv_in.weight is weight
    assert predict(inferencer, 'depth', image).shape == (67, 51)


def test_two_tasks_at_the_same_time(tasks, image):
    """Each thread gets what it would get alone, also of a task that another thread is still loading."""
    alone = {name: TargetInferencer(config, lora=lora, **CPU) for name, (config, lora) in tasks.items()}
    names = ['depth', 'normals'] * 4
    images = [np.roll(image, index, axis=0) for index in range(len(names))]
    captions = [None if name == 'depth' else 'a red sphere' for name in names]
    expected = [alone[name](*arguments) for name, *arguments in zip(names, images, captions, strict=True)]
    inferencer = MultiTargetInferencer(tasks, **CPU)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda name, *arguments: inferencer.select(name)(*arguments), names, images, captions)
    for target, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(target, right)
    assert inferencer.select('depth').model.text_encoder is inferencer.select('normals').model.text_encoder


def test_other_bases_have_models_of_their_own(tasks, adapters, image, tmp_path):
    config = make_config(**DEPTH, lora=dict(r=3))
    checkpoint = tmp_path / 'model.pth'
    trained = TargetInferencer(config, lora=adapters[0], **CPU)
    torch.save(dict(state_dict=trained.model.state_dict()), checkpoint)
    variant = make_config(**DEPTH)
    variant.model.init_cfg.components = ('unet', 'vae', 'text_encoder')
    inferencer = MultiTargetInferencer(dict(tasks, trained=(config, checkpoint), variant=(variant, adapters[1])), **CPU)
    models = {name: inferencer.select(name).model for name in inferencer.tasks}
    assert models['depth'].autoencoder is models['normals'].autoencoder
    assert len({id(model.unet.conv_in.weight) for model in models.values()}) == 3
    np.testing.assert_array_equal(inferencer.select('trained')(image), trained(image))
    np.testing.assert_array_equal(inferencer.select('depth')(image), trained(image))


def test_options_and_settings_are_those_of_all_tasks(tasks, image):
    options = dict(use_prompts=False, guidance_scale=1, num_steps=2)
    inferencer = MultiTargetInferencer(tasks, size=24, precision='bf16', **CPU, **options)
    for name, (config, lora) in tasks.items():
        expected = TargetInferencer(config, lora=lora, size=24, precision='bf16', **CPU, **options)(image)
        np.testing.assert_array_equal(inferencer.select(name)(image), expected)


def test_a_task_that_does_not_fit_leaves_the_others(tasks, adapters, image, tmp_path):
    wrong = dict(
        empty=(make_config(**DEPTH), tmp_path),
        guided=(make_config(**DEPTH, guidance_scale=2.0), adapters[1]),
    )
    inferencer = MultiTargetInferencer(tasks | wrong, **CPU)
    before = predict(inferencer, 'depth', image)
    for name, error, message in (
        ('empty', FileNotFoundError, 'LoRA'),
        ('guided', ValueError, 'guidance_scale=2.0'),
        ('albedo', KeyError, 'albedo'),
    ):
        with pytest.raises(error, match=message):
            inferencer.select(name)
        np.testing.assert_array_equal(predict(inferencer, 'depth', image), before)


def test_configs_may_be_files(tasks, adapters, tmp_path):
    make_config(**DEPTH).dump(tmp_path / 'depth.py')
    inferencer = MultiTargetInferencer(dict(depth=(tmp_path / 'depth.py', adapters[0])))
    assert isinstance(inferencer.tasks['depth'][0], Config)
    with pytest.raises(FileNotFoundError, match='absent.py'):
        MultiTargetInferencer(dict(depth=(tmp_path / 'absent.py', adapters[0])))
