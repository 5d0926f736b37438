"""The runs that are compared differ in one thing; what is stored as a file has a plain name."""

import re
from argparse import ArgumentParser
from copy import deepcopy

import pytest
from mmengine.config import DictAction
from toy_experiments.results import read_config
from toy_experiments.tasks import TASKS, VALIDATION
from toy_experiments.training import options_of

from mmdiffperc.generative.diffusion_networks import share_or_build
from mmdiffperc.toy_scenes.vocabulary import TOY_CLASSES


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


def complete_config(task, run):
    """The config of a run with its options."""
    config = config_of(task, run)
    config.merge_from_dict(TASKS[task].runs[run].options)
    return config


def test_fair_controls_differ_in_what_their_names_say():
    configs = {run: complete_config('normals-controls', run) for run in TASKS['normals-controls'].runs}
    assert len(configs) == 8 + 2
    for run, config in configs.items():
        model, weights, start = run.removesuffix('-short').split('-', 2)
        assert config.model.type == dict(process='DeterministicDiffusion', regression='PixelRegression')[model]
        assert (config.model.lora is None) == (weights == 'all')
        assert ('unet' in config.model.init_cfg.components) == (start == 'pre-trained')
        assert config.optim_wrapper.optimizer.lr == (1e-3 if weights == 'all' else 3e-3)
        assert config.train_cfg.max_iters == config.param_scheduler[0].T_max == (600 if 'short' in run else 2400)
        assert any(hook.type == 'SaveLoRAHook' for hook in config.custom_hooks) == (weights == 'adapter')
        assert config.train_dataloader == configs['process-all-random'].train_dataloader
        assert config.optim_wrapper.clip_grad == configs['process-all-random'].optim_wrapper.clip_grad
    tests = [run.tests for run in TASKS['normals-controls'].runs.values()]
    assert all(one == tests[0] for one in tests)
    for model in ('process', 'regression'):
        for weights in ('adapter', 'all'):
            ours, random = (configs[f'{model}-{weights}-{start}'].model for start in ('pre-trained', 'random'))
            assert {*ours.init_cfg.components} - {*random.init_cfg.components} == {'unet'}
            assert {key: ours[key] for key in ours if key != 'init_cfg'} == {
                key: random[key] for key in random if key != 'init_cfg'
            }


def test_the_wide_adapter_has_a_few_per_cent_of_the_weights():
    settings = complete_config('normals-controls', 'process-adapter-random').model
    networks = share_or_build(None, settings.arch, settings.lora, False)
    adapter = [name for name, weight in networks.unet.named_parameters() if weight.requires_grad]
    share = sum(networks.unet.get_parameter(name).numel() for name in adapter) / sum(
        weight.numel() for name, weight in networks.unet.named_parameters() if name not in adapter
    )
    assert 0.04 < share < 0.045
    for part in ('attn2.to_k', 'ff.net.2', 'conv1', 'downsamplers.0.conv'):
        assert any(f'.{part}.lora_A' in name for name in adapter)


def test_the_ablation_of_vpd():
    complete = config_of('segmentation-128', 'pre-trained').model
    parts = {run: complete_config('vpd-ablation', run).model for run in TASKS['vpd-ablation'].runs}
    for run, model in parts.items():
        prompts = model.backbone.prompts
        assert (prompts.get('adapter') is None) == ('no-adapter' in run or run == 'learned-prompts')
        without_maps = model.backbone.cross_attention is None
        assert without_maps == ('no-maps' in run) == (model.neck.in_channels != complete.neck.in_channels)
        assert prompts.type == ('MetaPrompts' if run == 'learned-prompts' else 'ClassPrompts')
        assert model.decode_head == complete.decode_head
    names = parts['meaningless-names'].backbone.prompts.classes
    assert len({*names}) == len(TOY_CLASSES) and not {*names} & {*TOY_CLASSES}


def test_few_labels():
    """The scenes of all categories, which their names sort, are among them; fewer ones are among more."""
    pre_trained, random = ('few-labels', 'pre-trained'), ('few-labels', 'random')
    smaller = set()
    for count in (10, 50, 200):
        configs = [complete_config(task, f'{start}-{count}') for task, start in (pre_trained, random)]
        compare_starts(*configs)
        indices = configs[0].train_dataloader.dataset.indices
        assert len({*indices}) == count and smaller <= {*indices} <= {*range(1000)}
        smaller = {*indices}
        assert configs[0].train_cfg == config_of('segmentation-128', 'pre-trained').train_cfg
    compare_starts(config_of('segmentation-128', 'pre-trained'), complete_config('few-labels', 'random-1000'))


@pytest.mark.parametrize('task', TASKS)
def test_options_survive_the_command_line(task):
    """mmengine reads numbers, lists and strings without spaces from ``--cfg-options``."""
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    for run in TASKS[task].runs.values():
        for options in (run.options, *(test.options for test in run.tests.values())):
            if options:
                assert parser.parse_args(options_of(options)).cfg_options == options


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
    for task, run in (('segmentation', 'pre-trained-3600'), ('pose', 'pre-trained-7200'), ('pose', 'random-7200')):
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
