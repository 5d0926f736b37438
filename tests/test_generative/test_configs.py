"""Every config of one-step models parses, all it names is registered, its model builds; recipes are the official."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    init_default_scope,
)

CONFIGS = Path(__file__).parents[2] / 'configs' / 'one_step'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
E2E_FT = 'e2e-ft_sd2_1xb2-320k_hypersim-vkitti-{}'
LOTUS = 'lotus-d_sd2-base_8xb16-20k_hypersim-vkitti-{}'
TOY = 'e2e-ft_tiny-sd_1xb8-600_toy-dmp-{}-128x128'
TARGETS = 'depth', 'normals'


@cache
def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def load(name):
    config = deepcopy(read(name))
    init_default_scope(config.default_scope)
    return config


@cache
def model_of(name):
    """Full width, no memory."""
    config = load(name)
    with torch.device('meta'):
        return MODELS.build(config.model)


def rates(config, num_iters):
    """Of the first iterations."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optim_wrapper.optimizer.lr)
    schedulers = [PARAM_SCHEDULERS.build(dict(each, optimizer=optimizer)) for each in config.param_scheduler]
    found = []
    optimizer.step()  # once suffices: the schedulers only count
    for _ in range(num_iters):
        found.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_there_are_recipes_for_both_targets():
    forms = E2E_FT, E2E_FT.replace('sd2', 'marigold'), LOTUS, TOY, TOY.replace('sd_', 'sd-random_')
    assert {form.format(target) for form in forms for target in TARGETS} <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.filterwarnings('ignore:for .* copying from a non-meta parameter')
def test_model(name):
    model = model_of(name)
    assert model.codec.mode == ('normals' if 'normals' in name else 'F')
    timestep, prediction_type = (1, 'sample') if 'tiny-sd' in name else (999, 'v_prediction')
    assert model.timesteps(1) == [timestep] and not model.use_prompts
    if 'e2e-ft' in name:
        (loss,) = model.losses
        assert type(loss).__name__ == ('AngularLoss' if 'normals' in name else 'ScaleShiftInvariantLoss')
        assert model.process.target_input == 'zeros'
        assert model.process.scheduler.config.prediction_type == prediction_type
        assert model.unet.config.in_channels == 2 * model.unet.config.out_channels
        assert model.halve_bias and model.text_encoder.max_length == 77
    assert all(weight.requires_grad for weight in model.unet.parameters())


@pytest.mark.parametrize('name', NAMES)
def test_everything_resolves(name):
    config = load(name)
    for phase in ('train', 'val', 'test'):
        loader, loop = config.get(f'{phase}_dataloader'), config.get(f'{phase}_cfg')
        if loader is None:
            continue
        assert DATA_SAMPLERS.get(loader.sampler.type) and LOOPS.get(loop.type)
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            assert DATASETS.get(dataset.type)
            steps = [TRANSFORMS.build(step) for step in dataset.pipeline]
            assert type(steps[-1]).__name__ == 'PackTargetInputs'
            assert dataset.get('test_mode', False) == (phase != 'train')
    for evaluator in (config.get('val_evaluator'), config.get('test_evaluator')):
        if evaluator is not None and not isinstance(evaluator, list):
            METRICS.build(evaluator)
    if 'optim_wrapper' in config:
        assert OPTIM_WRAPPERS.get(config.optim_wrapper.type)
        assert all(HOOKS.get(hook.type) for hook in [*config.default_hooks.values(), *config.custom_hooks])


@pytest.mark.parametrize('target', TARGETS)
def test_recipe_of_e2e_ft(target):
    """20,000 updates of 16 batches of two images; 9 of 10 batches from Hypersim, in two sizes."""
    config = load(E2E_FT.format(target))
    wrapper = config.optim_wrapper
    assert (wrapper.type, wrapper.accumulative_counts, wrapper.clip_grad) == ('OptimWrapper', 16, dict(max_norm=1.0))
    assert wrapper.optimizer == dict(type='AdamW', lr=3e-5, betas=(0.9, 0.999), weight_decay=1e-2, fused=True)
    assert config.train_cfg.max_iters == 20_000 * 16 and config.train_dataloader.batch_size == 2
    assert config.train_dataloader.batch_sampler == dict(type='MixedBatchSampler', weights=[9, 1])
    hypersim, virtual_kitti = config.train_dataloader.dataset.datasets
    assert hypersim.pipeline[2] == dict(type='Resize', scale=(640, 480))
    assert virtual_kitti.pipeline[2] == dict(type='KBCrop', size=(352, 1216))


def test_learning_rate_of_e2e_ft():
    """Of updates, not of batches: linear over 100, then exponential, 1 % at update 20,000."""
    config = load(E2E_FT.format('depth'))
    config.param_scheduler = [dict(each, verbose=False) for each in config.param_scheduler]
    found = rates(config, 16 * 1000 + 1)
    for update in (0, 50, 99):
        assert found[16 * update] == pytest.approx(3e-5 * update / 100, rel=1e-3, abs=1e-10)
    for update in (100, 500, 1000):
        assert found[16 * update] == pytest.approx(3e-5 * 0.01 ** ((update - 100) / 19_900), rel=1e-6)


@pytest.mark.parametrize('target', TARGETS)
def test_recipe_of_lotus(target):
    """8 x 16 images, latents, the task (1, 0) and a reconstruction; a constant rate in half precision."""
    config, model = load(LOTUS.format(target)), model_of(LOTUS.format(target))
    assert config.train_dataloader.batch_size == 16 and config.train_cfg.max_iters == 20_000
    wrapper = config.optim_wrapper
    assert (wrapper.type, wrapper.dtype, wrapper.accumulative_counts) == ('AmpOptimWrapper', 'float16', 1)
    assert wrapper.optimizer.lr == 3e-5 and config.param_scheduler == []
    assert model.process.scheduler.config.prediction_type == 'sample' and model.process.target_input is None
    assert model.unet.config.in_channels == 4 and model.unet.config.class_embed_type == 'projection'
    assert model.sample_latents and model.task_embedding == (1, 0) and model.reconstruction.loss_weight == 1
    assert [loss.space for loss in model.losses] == ['latents']
    assert model.codec.transform == ('disparity' if target == 'depth' else None)
    if target == 'depth':
        assert config.val_evaluator.align == config.test_evaluator.align == 'least_squares_disparity'


@pytest.mark.parametrize('target', TARGETS)
def test_toy_configs_differ_in_the_weights_alone(target):
    ours, random = load(TOY.format(target)), load(TOY.format(target).replace('sd_', 'sd-random_'))
    assert random.model.init_cfg.pop('components') == ('vae', 'text_encoder')
    assert random.model == ours.model and random.optim_wrapper == ours.optim_wrapper
    assert ours.val_dataloader.dataset.data_root == 'data/toy/dmp'
    assert ours.test_dataloader.dataset.data_root == 'data/toy/dmp_b'
