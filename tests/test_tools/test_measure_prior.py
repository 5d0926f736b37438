"""The tool on quick programs in place of ``mim``: what it measures, skips, lists and writes."""

import json
from pathlib import Path

import pytest
from measure_prior import main
from toy_experiments.figures import FIGURES

TASK = ['--task', 'segmentation']
SCENES = ['tools/make_toy_scenes.py'] * 2  # small and large


def test_all_that_is_missing_is_measured(clone, programs, capsys):
    assert main([*TASK, '--seeds', '0', '1']) == 0
    commands = [arguments[0] for arguments in programs()]
    first, second = ['train', 'test', 'train', 'train', 'train'], ['train', 'test', 'train', 'train']
    assert commands == [*SCENES, *first, *second]
    files = sorted(path.name for path in Path('resources/measured/segmentation').iterdir())
    assert files == [
        f'{run}.json'
        for run in (
            'pre-trained-3600-seed0',
            *(f'{run}-seed{seed}' for run in ('pre-trained', 'random', 'tiny-autoencoder') for seed in (0, 1)),
        )
    ]
    assert 'segmentation/random-seed1: mIoU 10.0' in capsys.readouterr().out
    assert main([*TASK, '--seeds', '0', '1']) == 0 and len(programs()) == 11  # everything is up to date
    Path('resources/measured/segmentation/random-seed1.json').write_text('{"metrics": {}}')
    assert main(TASK) == 0
    assert [arguments[0] for arguments in programs()[11:]] == [*SCENES, 'train', 'test', 'train', 'train']


def test_side_by_side(clone, programs):
    """Each training has its own clone, and the processor cores are shared."""
    assert main([*TASK, '--workers', '3']) == 0
    trainings = [arguments[4] for arguments in programs() if arguments[0] == 'train']
    assert len(set(trainings)) == len(trainings) == 10
    records = [json.loads(path.read_text()) for path in Path('resources/measured').rglob('*.json')]
    assert len(records) == 10 and {record['threads'] for record in records} == {max(1, records[0]['cores'] // 3)}


def test_failures_are_named_at_the_end(clone, programs, capsys):
    Path('fails').touch()
    assert main([*TASK, '--seeds', '2']) == 1
    message = capsys.readouterr().err
    assert 'random-seed2' in message and 'work_dirs/prior/segmentation/pre-trained-seed2/output.log' in message
    assert message.count('\n') == 1


def test_a_trial_leaves_the_results_alone(clone, programs):
    assert main([*TASK, '--seeds', '1', '--cfg-options', 'model.a=[2,3]', 'b=1']) == 0
    assert programs()[2][-3:] == ['randomness.seed=1', 'model.a=[2, 3]', 'b=1']
    assert not Path('resources').exists() and not Path('work_dirs/prior').exists()
    assert len([*Path('work_dirs/trial/segmentation').glob('*.json')]) == 3


def test_list_of_results(clone, programs, capsys):
    assert main([*TASK, '--list']) == 0
    assert '0 done, 0 stale, 10 missing' in capsys.readouterr().out and programs() == []
    main([*TASK, '--seeds', '1'])
    changes_of = {
        'pre-trained': dict(seconds=3000),
        'tiny-autoencoder': dict(seconds=600),
        'random': dict(seconds=600, toy_scenes=0),
    }
    for name, changes in changes_of.items():
        path = Path(f'resources/measured/segmentation/{name}-seed1.json')
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    capsys.readouterr()
    assert main([*TASK, '--list', '--workers', '2']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'missing segmentation/pre-trained-seed0' in lines
    states = {line.split()[1].partition('/')[2]: line.split()[0] for line in lines[:10]}
    assert (states['pre-trained-seed1'], states['random-seed1']) == ('done', 'stale')
    # Two runs of 3000 s, five of 600 s, and one of unknown duration, which counts as the mean of the task.
    assert lines[-1].startswith('2 done, 1 stale, 7 missing.') and lines[-1].endswith(
        f'{(6000 + 3000 + 1400) / 2 / 3600:.1f} hours'
    )


def test_pages_are_written(clone, programs, capsys):
    Path('README.md').write_text(
        'of <!-- measured: segmentation-random -->1<!-- /measured -->, '
        '<!-- measured: pose-longer-ap -->2<!-- /measured -->'
    )
    main(TASK)
    capsys.readouterr()
    assert main(['--write']) == 0
    assert '-->9.7<!-- /measured -->, ' in Path('README.md').read_text()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(' is unchanged: ')[0] for line in lines] == ['pose-longer-ap', *FIGURES]
    assert lines[0].endswith('3 of 3 results are missing') and lines[1].endswith('1 of 1 results are missing')


@pytest.mark.parametrize(
    'arguments', [['--task', 'poses'], ['--seeds', '7'], ['--list', '--write'], ['--time-limit', '0']]
)
def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert arguments[-2 if arguments[-1] != '--write' else -1] in capsys.readouterr().err
