"""Every config of DMP parses, all it names is registered, its model builds; the recipe is the official one."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
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

from mmdiffperc.engine import CheckFiniteHook, RandomStateHook
from mmdiffperc.generative import SaveLoRAHook
from mmdiffperc.generative.evaluation.coloured_segmentation import BEDROOM_CLASSES
from mmdiffperc.generative.target_inferencer import resized_side
from mmdiffperc.toy_scenes.vocabulary import TOY_PALETTE

CONFIGS = Path(__file__).parents[3] / 'projects' / 'dmp' / 'configs'
PAPER = dict(
    albedo='ImageErrorMetric',
    depth='DepthMapMetric',
    normals='NormalMapMetric',
    segmentation='ColouredSegMetric',
    shading='ImageErrorMetric',
)
SETTINGS = {'bedroom': ('sd1-4_1xb8-50k', 512), 'toy-dmp': ('tiny-sd_1xb8-600', 128)}
NAMES = {
    (data, task): f'dmp_{model}_{data}-{task}-{size}x{size}.py'
    for data, (model, size) in SETTINGS.items()
    for task in PAPER
}
VARIANTS = 'dmp_tiny-sd-random', 'regression_tiny-sd'
PHASES = 'train', 'val', 'test'
EACH = pytest.mark.parametrize(('data', 'task'), NAMES)


def load(data, task):
    config = Config.fromfile(CONFIGS / NAMES[data, task])
    init_default_scope(config.default_scope)
    return config


def variant(task, name):
    return NAMES['toy-dmp', task].replace('dmp_tiny-sd', name)


def build_on_meta(config):
    with torch.device('meta'):
        return MODELS.build(config.model)


def as_list(config):
    return config if isinstance(config, list) else [config]


def test_five_tasks_each():
    variants = {variant(task, name) for task in PAPER for name in VARIANTS}
    assert {path.name for path in CONFIGS.glob('*.py')} == {*NAMES.values(), *variants}


@pytest.mark.parametrize('data', SETTINGS)
@pytest.mark.filterwarnings('ignore:for .* copying from a non-meta parameter')
def test_model(data):
    """Five steps, v-prediction, a small adapter on all attention; with prompts and guidance 2."""
    model = build_on_meta(load(data, 'depth'))
    assert model.num_steps == 5 and model.use_prompts and model.guidance_scale == 2
    assert model.process.prediction_type == 'v_prediction' and model.process.sampler == 'ddim'
    assert model.process.snr_gamma is model.process.snr_trunc is None
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all((4 if data == 'bedroom' else 16) in weight.shape for weight in trained)
    if data == 'bedroom':
        assert sum(weight.numel() for weight in trained) == 797184
    assert (model.codec.mode, model.codec.target_scale) == ('F', 8 if data == 'bedroom' else 10)


@EACH
def test_models_differ_in_the_target_alone(data, task):
    model, other = (dict(load(data, name).model) for name in (task, 'depth'))
    assert 'target_mode' not in model or task == 'depth'
    for name in ('target_mode', 'target_scale'):
        other.pop(name)
        model.pop(name, None)
    assert model == other


@EACH
def test_data(data, task):
    """The target is that of the task; it is loaded as the model and the metric expect it; normals are not flipped."""
    config = load(data, task)
    for phase in PHASES:
        loader = config[f'{phase}_dataloader']
        assert DATASETS.get(loader.dataset.type) and DATA_SAMPLERS.get(loader.sampler.type)
        split = 'train' if phase == 'train' else 'val'
        assert loader.dataset.data_prefix == dict(img_path=split, target_path=f'targets/{split}/{task}')
        assert loader.dataset.get('test_mode', False) == (phase != 'train')
        pipeline = loader.dataset.pipeline
        assert all(callable(TRANSFORMS.build(transform)) for transform in pipeline)
        (load_target,) = [transform for transform in pipeline if transform.type == 'LoadTarget']
        assert load_target.mode == config.model.get('target_mode', 'RGB')
        types = [transform.type for transform in pipeline]
        assert (types.index('LoadTarget') < types.index('Resize')) == (phase == 'train')
        assert ('RandomFlip' in types) == (phase == 'train' and task != 'normals')
    assert config.train_dataloader.batch_size == 8
    assert resized_side(config) == SETTINGS[data][1]


@EACH
def test_metrics(data, task):
    config = load(data, task)
    for phase in PHASES[1:]:
        metrics = [METRICS.build(metric) for metric in as_list(config[f'{phase}_evaluator'])]
        assert {type(metric).__name__ for metric in metrics} == {PAPER[task]}
    if task == 'depth':
        expected = [(False, None), (True, 'normalised'), *([(False, 'aligned')] if data == 'toy-dmp' else [])]
        assert [(metric.normalise, metric.prefix) for metric in metrics] == expected
    if task == 'segmentation' and data == 'bedroom':
        assert tuple(metrics[0].classes) == BEDROOM_CLASSES
    elif task == 'segmentation':
        assert metrics[0].palette.tolist() == [list(colour) for colour in TOY_PALETTE]


@EACH
def test_training_resolves(data, task):
    config = load(data, task)
    assert all(LOOPS.get(config[f'{phase}_cfg'].type) for phase in PHASES)
    hooks = [HOOKS.build(hook) for hook in [*config.default_hooks.values(), *config.custom_hooks]]
    assert all(isinstance(hook, Hook) for hook in hooks)
    assert {RandomStateHook, CheckFiniteHook, SaveLoRAHook} <= {type(hook) for hook in hooks}
    assert config.model.init_cfg.checkpoint == {'bedroom': 'CompVis/stable-diffusion-v1-4', 'toy-dmp': 'tiny-sd'}[data]


@pytest.mark.parametrize('task', PAPER)
def test_official_recipe(task):
    """AdamW at 1e-4 in half precision, gradients clipped to 1, a cosine over 50k iterations without warm-up."""
    config = load('bedroom', task)
    wrapper = config.optim_wrapper
    assert OPTIM_WRAPPERS.get(wrapper.type).__name__ == 'AmpOptimWrapper' and wrapper.dtype == 'float16'
    assert wrapper.clip_grad == dict(max_norm=1.0)
    assert wrapper.optimizer == dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2, fused=True)
    assert config.train_cfg.max_iters == 50000
    assert config.default_hooks.checkpoint.interval == 1000 and config.randomness.seed == 42


@pytest.mark.parametrize('task', PAPER)
def test_more_augment_is_an_option_of_the_command_line(task):
    config = load('bedroom', task)
    name = 'train_dataloader.dataset.pipeline.2'
    assert config.train_dataloader.dataset.pipeline[2] == dict(type='ColourJitterJPEG', prob=0)
    config.merge_from_dict({f'{name}.prob': 1})
    assert TRANSFORMS.build(config.train_dataloader.dataset.pipeline[2]).prob == 1


def test_cosine_of_diffusers():
    """The rate is ``0.5 (1 + cos(pi i / n))`` of the first, as its scheduler has it."""
    config = load('toy-dmp', 'depth')
    num = config.max_iters
    optimizer = build_optim_wrapper(torch.nn.Linear(1, 1), config.optim_wrapper)
    (cosine,) = [
        PARAM_SCHEDULERS.build(part, default_args=dict(optimizer=optimizer)) for part in config.param_scheduler
    ]
    rates = []
    for _ in range(num):
        rates += optimizer.get_lr()['lr']
        optimizer.step()
        cosine.step()
    expected = [config.optim_wrapper.optimizer.lr * 0.5 * (1 + math.cos(math.pi * i / num)) for i in range(num)]
    assert rates == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize('task', PAPER)
def test_toys_are_tested_in_another_domain(task):
    config = load('toy-dmp', task)
    roots = [config[f'{phase}_dataloader'].dataset.data_root for phase in PHASES]
    assert roots == ['data/toy/dmp', 'data/toy/dmp', 'data/toy/dmp_b']


@pytest.mark.parametrize('task', PAPER)
@pytest.mark.parametrize('name', VARIANTS)
def test_baselines_differ_in_the_model_alone(task, name):
    """But for a rate that suits all weights."""
    config, other = load('toy-dmp', task), Config.fromfile(CONFIGS / variant(task, name))
    if name == 'dmp_tiny-sd-random':
        assert other.optim_wrapper.optimizer.pop('lr') < config.optim_wrapper.optimizer.pop('lr')
    for key in set(config) - {'model', 'custom_hooks'}:
        assert other[key] == config[key], key
    hooks = ['RandomStateHook', 'CheckFiniteHook'] + ['SaveLoRAHook'] * (name == 'regression_tiny-sd')
    assert [hook.type for hook in other.custom_hooks] == [*hooks, 'StoreLatentsHook']


def test_random_unet_is_trained_as_a_whole():
    config = Config.fromfile(CONFIGS / variant('normals', 'dmp_tiny-sd-random'))
    model = MODELS.build(config.model)
    model.init_weights()
    assert all(weight.requires_grad for weight in model.unet.parameters())
    plain = MODELS.build(load('toy-dmp', 'normals').model)
    plain.init_weights()
    assert not torch.equal(model.unet.conv_in.weight, plain.unet.conv_in.weight)
    torch.testing.assert_close(model.autoencoder.state_dict(), plain.autoencoder.state_dict())


def test_regression_has_the_same_adapter():
    model = MODELS.build(Config.fromfile(CONFIGS / variant('normals', 'regression_tiny-sd')).model)
    plain = MODELS.build(load('toy-dmp', 'normals').model)
    assert {name: weight.shape for name, weight in model.named_parameters()} == {
        name: weight.shape for name, weight in plain.named_parameters()
    }
