"""The runs that are compared differ in one thing; what is stored as a file has a plain name."""

import re
from copy import deepcopy

import pytest
from toy_experiments.results import read_config
from toy_experiments.tasks import TASKS, VALIDATION


def config_of(task, run):
    return deepcopy(read_config(TASKS[task].runs[run].config))


def test_names_are_plain():
    names = [name for task, settings in TASKS.items() for name in (task, *settings.runs)]
    names += [test for task in TASKS.values() for run in task.runs.values() for test in (VALIDATION, *run.tests)]
    assert [name for name in names if not re.fullmatch('[a-z0-9]+(-[a-z0-9]+)*', name)] == []


@pytest.mark.parametrize(
    'task', [task for task, settings in TASKS.items() if {'pre-trained', 'random'} <= {*settings.runs}]
)
def test_pairs_differ_in_the_weights_of_the_unet_only(task):
    compare_starts(config_of(task, 'pre-trained'), config_of(task, 'random'))


def compare_starts(first, second):
    assert first.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='tiny-sd')
    assert second.model.backbone.init_cfg.pop('components') == ('vae',)
    assert first.model == second.model and first.optim_wrapper == second.optim_wrapper
    assert first.train_dataloader == second.train_dataloader


def test_runs_of_meta_prompts_differ_in_one_thing():
    names = ('three-passes', 'two-passes', 'one-pass', 'class-names')
    three, two, one, classes = (config_of('metaprompts', name) for name in names)
    compare_starts(config_of('metaprompts', 'three-passes'), config_of('metaprompts', 'random'))
    assert [config.model.backbone.pop('num_refine_steps') for config in (three, two, one, classes)] == [3, 2, 1, 3]
    assert three.model == two.model == one.model
    assert classes.model.backbone.pop('prompts').type == 'ClassPrompts'
    assert three.model.backbone.pop('prompts').type == 'MetaPrompts'
    assert classes.model.backbone == three.model.backbone
    assert three.train_dataloader == two.train_dataloader == one.train_dataloader == classes.train_dataloader


@pytest.mark.parametrize('target', ['normals', 'depth', 'albedo', 'shading', 'segmentation'])
def test_runs_of_dmp_differ_in_one_thing(target):
    dmp, regression, random = (config_of(f'dmp-{target}', run) for run in ('dmp', 'regression', 'dmp-random'))
    assert (dmp.model.type, regression.model.type) == ('DeterministicDiffusion', 'PixelRegression')
    assert regression.model.lora == dmp.model.lora == dict(r=16) and random.model.lora is None
    assert random.model.init_cfg.pop('components') == ('vae', 'text_encoder')
    assert random.model.init_cfg == regression.model.init_cfg == dmp.model.init_cfg
    assert random.model | dict(lora=dmp.model.lora) == dmp.model
    assert random.optim_wrapper.optimizer.pop('lr') == 1e-3  # of all weights
    random.optim_wrapper.optimizer.lr = dmp.optim_wrapper.optimizer.lr
    for config in (regression, random):
        assert config.optim_wrapper == dmp.optim_wrapper and config.train_dataloader == dmp.train_dataloader
    assert 'data/toy/dmp_b' == dmp.test_dataloader.dataset.data_root != dmp.val_dataloader.dataset.data_root


@pytest.mark.parametrize('target', ['normals', 'depth'])
def test_runs_of_one_step_models_differ_in_the_weights_of_the_unet_only(target):
    ours, random = (config_of(f'dmp-{target}', run) for run in ('one-step', 'one-step-random'))
    assert random.model.init_cfg.pop('components') == ('vae', 'text_encoder')
    assert random.model == ours.model and random.optim_wrapper == ours.optim_wrapper
    dmp = config_of(f'dmp-{target}', 'dmp')
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert ours[loader].dataset.data_root == dmp[loader].dataset.data_root
        assert ours[loader].dataset.data_prefix == dmp[loader].dataset.data_prefix
    assert ours.train_dataloader.batch_size == dmp.train_dataloader.batch_size


@pytest.mark.parametrize('task', TASKS)
def test_a_test_repeats_the_validation(task):
    """This is needed for a training that was stopped during its validation."""
    for run in TASKS[task].runs:
        config = config_of(task, run)
        config.merge_from_dict(TASKS[task].validation_options)
        assert config.test_dataloader == config.val_dataloader and config.test_evaluator == config.val_evaluator


def test_longer_schedules_change_their_length_only():
    for task, run in (('segmentation', 'pre-trained-3600'), ('pose', 'pre-trained-7200')):
        before, after = config_of(task, run), config_of(task, run)
        after.merge_from_dict(TASKS[task].runs[run].options)
        length = int(run.rpartition('-')[2])
        assert (after.train_cfg.max_iters, after.train_cfg.val_interval) == (length, length)
        warm_up, decay = after.param_scheduler
        assert warm_up == before.param_scheduler[0]
        assert (
            decay == dict(before.param_scheduler[1], end=length)
            and before.param_scheduler[1].end == before.train_cfg.max_iters
        )
