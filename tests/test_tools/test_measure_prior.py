import json
import sys

import pytest
from mmengine.config import Config


@pytest.fixture
def measure_prior(tool, tmp_path, monkeypatch):
    """The tool, in a repository where all runs are finished."""
    import measure_prior

    monkeypatch.setattr(measure_prior, 'ROOT', tmp_path)
    for start, base in (('pre-trained', 40.0), ('random', 20.0)):
        for seed in (0, 1):
            folder = tmp_path / f'work_dirs/prior/segmentation-{start}-seed{seed}'
            for time, mistake in (('1010_0900', 9.0), ('1010_1000', 0.0)):  # the later log counts
                (folder / time / 'vis_data').mkdir(parents=True)
                lines = [dict(loss=1.0, step=800), dict(mIoU=base + seed + mistake, step=800)]
                (folder / time / 'vis_data/scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n')
            (folder / 'iter_1800.pth').write_bytes(b'')
    return measure_prior


def test_finished_runs_become_a_table(measure_prior, tmp_path, capsys):
    results = measure_prior.measure('segmentation', [0, 1], [])
    assert [[run['mIoU'] for run in runs] for runs in results.values()] == [[40, 41], [20, 21]]
    assert json.loads((tmp_path / 'work_dirs/prior/segmentation.json').read_text()) == results
    measure_prior.print_table(results, [0, 1], 'mIoU', '.1f')
    assert capsys.readouterr().out.splitlines()[1:] == [
        '| mIoU | seed 0 | seed 1 | mean |',
        '|---|---|---|---|',
        '| pre-trained | 40.0 | 41.0 | 40.5 |',
        '| random | 20.0 | 21.0 | 20.5 |',
    ]


def test_a_run_that_was_stopped_is_resumed(measure_prior, tmp_path, monkeypatch):
    """Its latest log ends with a line of training, though the one before was complete."""
    log = tmp_path / 'work_dirs/prior/segmentation-random-seed1/1010_1100/vis_data/scalars.json'

    def train(*command):
        commands.append(command)
        with open(log, 'a') as file:
            file.write(json.dumps(dict(mIoU=33.0, step=800)) + '\n')

    commands = []
    monkeypatch.setattr(measure_prior, 'run', train)
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(dict(loss=0.5, step=400)) + '\n')
    results = measure_prior.measure('segmentation', [0, 1], [])
    assert [run['mIoU'] for run in results['random']] == [20, 33]
    (command,) = commands
    assert command[:3] == ('mim', 'train', 'mmseg') and '--resume' in command and 'randomness.seed=1' in command


def test_a_run_that_was_stopped_in_its_validation_is_tested(measure_prior, tmp_path, monkeypatch):
    """Nothing is left to train, so that --resume neither trains nor validates."""
    folder = tmp_path / 'work_dirs/prior/segmentation-random-seed1'
    (folder / '1010_1100/vis_data').mkdir(parents=True)
    (folder / '1010_1100/vis_data/scalars.json').write_text(json.dumps(dict(loss=0.5, step=1800)))
    (folder / 'last_checkpoint').write_text('iter_1800.pth')

    def run(*command):
        commands.append(command)
        if command[1] == 'test':
            (folder / 'validation/1010_1200').mkdir(parents=True)
            (folder / 'validation/1010_1200/1010_1200.json').write_text(json.dumps(dict(mIoU=27.0)))

    commands = []
    monkeypatch.setattr(measure_prior, 'run', run)
    monkeypatch.setattr(sys.modules['demo'], 'ROOT', tmp_path)
    assert [one['mIoU'] for one in measure_prior.measure('segmentation', [1], [])['random']] == [27]
    assert [command[1] for command in commands] == ['train', 'test'] and 'iter_1800.pth' in commands[1]


def test_tests_without_changes_have_no_empty_option(measure_prior, monkeypatch, tmp_path):
    """mmseg's script refuses --cfg-options without a value."""
    commands = []
    monkeypatch.setattr(measure_prior, 'run', lambda *command: commands.append(command))
    monkeypatch.setattr(measure_prior, 'latest_results', lambda folder: {})
    (tmp_path / 'last_checkpoint').write_text('iter_600.pth')
    measure_prior.further_scores('mmseg', 'config.py', '.', 'domain b', [])
    measure_prior.further_scores('mmseg', 'config.py', '.', 'domain c', ['a=1'])
    assert '--cfg-options' not in commands[0] and commands[1][-2:] == ('--cfg-options', 'a=1')


def test_pairs_differ_in_the_weights_of_the_unet_only(tool):
    from measure_prior import ROOT, TASKS

    for name, task in TASKS.items():
        if name.startswith('dmp'):
            continue
        first, *_, second = (Config.fromfile(ROOT / config) for config in task.configs.values())
        assert first.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='tiny-sd')
        assert second.model.backbone.init_cfg.pop('components') == ('vae',)
        assert first.model == second.model and first.optim_wrapper == second.optim_wrapper
        assert first.train_dataloader == second.train_dataloader


def test_runs_of_meta_prompts_differ_in_one_thing(tool):
    from measure_prior import ROOT, TASKS

    three, two, one, classes, _ = (Config.fromfile(ROOT / path) for path in TASKS['metaprompts'].configs.values())
    assert [config.model.backbone.pop('num_refine_steps') for config in (three, two, one, classes)] == [3, 2, 1, 3]
    assert three.model == two.model == one.model
    assert classes.model.backbone.pop('prompts').type == 'ClassPrompts'
    assert three.model.backbone.pop('prompts').type == 'MetaPrompts'
    assert classes.model.backbone == three.model.backbone
    assert three.train_dataloader == two.train_dataloader == one.train_dataloader == classes.train_dataloader


@pytest.mark.parametrize('target', ['normals', 'depth', 'albedo', 'shading', 'segmentation'])
def test_runs_of_dmp_differ_in_one_thing(tool, target):
    from measure_prior import ROOT, TASKS

    dmp, regression, random = (Config.fromfile(ROOT / path) for path in TASKS[f'dmp-{target}'].configs.values())
    assert ('loss_on' in dmp.model, regression.model.loss_on) == (False, 'pixels')
    assert regression.model.lora == dmp.model.lora == dict(r=16) and random.model.lora is None
    assert random.model.init_cfg.pop('components') == ('vae', 'text_encoder')
    assert random.model.init_cfg == regression.model.init_cfg == dmp.model.init_cfg
    assert random.model | dict(lora=dmp.model.lora) == dmp.model
    assert random.optim_wrapper.optimizer.pop('lr') == 1e-3  # of all weights
    random.optim_wrapper.optimizer.lr = dmp.optim_wrapper.optimizer.lr
    for config in (regression, random):
        assert config.optim_wrapper == dmp.optim_wrapper and config.train_dataloader == dmp.train_dataloader
    assert 'data/toy/dmp_b' == dmp.test_dataloader.dataset.data_root != dmp.val_dataloader.dataset.data_root


def test_referring_segmentation_is_scored_with_shuffled_sentences(tool, tmp_path, monkeypatch):
    """The last checkpoint of each run is tested once more, with what was given for training."""
    import measure_prior

    def run(*command):
        commands.append(command)
        (tmp_path / command[7] / '1010_1100').mkdir(parents=True)
        (tmp_path / command[7] / '1010_1100' / '1010_1100.json').write_text(json.dumps(dict(oIoU=7.0 * len(commands))))

    commands = []
    monkeypatch.setattr(measure_prior, 'run', run)
    monkeypatch.setattr(measure_prior, 'ROOT', tmp_path)
    monkeypatch.setattr(sys.modules['demo'], 'ROOT', tmp_path)
    for start, score in (('pre-trained', 50.0), ('random', 30.0)):
        folder = tmp_path / f'work_dirs/prior/referring-{start}-seed0'
        (folder / '1010_1000/vis_data').mkdir(parents=True)
        (folder / '1010_1000/vis_data/scalars.json').write_text(json.dumps(dict(oIoU=score)))
        (folder / 'iter_900.pth').write_bytes(b'')
        (folder / 'last_checkpoint').write_text(f'{start}/iter_900.pth')
    for _ in range(2):
        results = measure_prior.measure('referring', [0], ['work=1'])
    assert {name: runs[0]['oIoU'] for name, runs in results.items()} == {
        'pre-trained': 50,
        'pre-trained, sentences shuffled': 7,
        'random': 30,
        'random, sentences shuffled': 14,
    }
    command, other = commands  # what is finished is not repeated
    assert other[5] == 'random/iter_900.pth'
    assert command[:3] == ('mim', 'test', 'mmseg') and command[4:6] == ('--checkpoint', 'pre-trained/iter_900.pth')
    assert command[8:] == ('--cfg-options', 'test_dataloader.dataset.shuffle_seed=0', 'work=1')
