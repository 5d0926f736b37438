"""The tool on runs whose results are on disk, with a ``mim`` and a ``python`` that write results at once."""

import json
import sys
from pathlib import Path

import pytest
from measure_prior import further_scores, main, measure

ROOT = Path(__file__).parents[2]
# Note the command, then write what it would: a validation at the end of the log, or a score that counts the commands.
PROGRAM = """#!{python} -IS
import json, os, sys
arguments = sys.argv[1:]
with open('commands.jsonl', 'a+') as file:
    file.write(json.dumps(arguments) + '\\n')
    file.seek(0)
    number = len(file.readlines())
if '--out-file' in arguments:
    with open(arguments[arguments.index('--out-file') + 1], 'w') as file:
        json.dump(dict(rmse=1.5, abs_rel=0.25), file)
elif arguments[0] == 'test':
    folder = arguments[arguments.index('--work-dir') + 1] + '/1010_1200'
    os.makedirs(folder)
    with open(folder + '/1010_1200.json', 'w') as file:
        json.dump(dict.fromkeys(['mIoU', 'oIoU', 'precision@0.5'], 7 * number), file)
elif os.path.exists('trains'):
    folder = arguments[arguments.index('--work-dir') + 1] + '/1010_1200/vis_data'
    os.makedirs(folder)
    with open(folder + '/scalars.json', 'w') as file:
        json.dump(dict(mIoU=33.0, step=1800), file)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, in which nothing has run yet."""
    (tmp_path / 'bin').mkdir()
    for name in ('mim', 'python'):
        (tmp_path / 'bin' / name).write_text(PROGRAM.format(python=sys.executable))
        (tmp_path / 'bin' / name).chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'bin' / 'python'))  # where commands are looked for
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'work_dirs/prior'


def write_log(run: Path, time: str, *entries: dict):
    (run / time / 'vis_data').mkdir(parents=True)
    (run / time / 'vis_data/scalars.json').write_text('\n'.join(map(json.dumps, entries)) + '\n')


def finish(run: Path, **scores: float):
    """A run that is finished: its log ends with a validation, and it has a checkpoint."""
    write_log(run, '1010_1000', dict(loss=1.0, step=800), dict(scores, step=800))
    (run / 'last_checkpoint').write_text(f'{run.name}.pth')


def commands(folder: Path) -> list[list[str]]:
    file = folder.parents[1] / 'commands.jsonl'
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(capsys) -> list[list[str]]:
    """The cells of the printed tables."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


def test_finished_runs_become_a_table(folder, capsys):
    for start, score in (('pre-trained', 40.0), ('random', 20.0)):
        for seed in (0, 1):
            finish(folder / f'segmentation-{start}-seed{seed}', mIoU=score + seed)
            write_log(folder / f'segmentation-{start}-seed{seed}', '1010_0900', dict(mIoU=9.0))  # the later log counts
    assert main(['--seeds', '0', '1']) == 0
    assert table(capsys) == [
        ['mIoU', 'seed 0', 'seed 1', 'mean'],
        ['---'] * 4,
        ['pre-trained', '40.0', '41.0', '40.5'],
        ['random', '20.0', '21.0', '20.5'],
    ]
    written = json.loads((folder / 'segmentation.json').read_text())
    assert [run['mIoU'] for run in written['random']] == [20, 21] and commands(folder) == []


def test_a_run_that_was_stopped_is_resumed(folder):
    """Its latest log ends with a line of training, though the one before was complete."""
    finish(folder / 'segmentation-pre-trained-seed1', mIoU=40.0)
    finish(folder / 'segmentation-random-seed1', mIoU=20.0)
    write_log(folder / 'segmentation-random-seed1', '1010_1100', dict(loss=0.5, step=400))
    Path('trains').touch()
    assert [run['mIoU'] for run in measure('segmentation', [1], ['a=1'])['random']] == [33]
    (command,) = commands(folder)
    assert command[:2] == ['train', 'mmseg'] and command[-4:] == [
        '--resume',
        '--cfg-options',
        'randomness.seed=1',
        'a=1',
    ]


def test_a_run_that_was_stopped_in_its_validation_is_tested(folder):
    """Nothing is left to train, so that --resume neither trains nor validates."""
    finish(folder / 'segmentation-pre-trained-seed1', mIoU=40.0)
    finish(folder / 'segmentation-random-seed1', loss=0.5)
    assert [run['mIoU'] for run in measure('segmentation', [1], [])['random']] == [14]
    assert [command[0] for command in commands(folder)] == ['train', 'test']
    assert 'segmentation-random-seed1.pth' in commands(folder)[1]


def test_referring_segmentation_is_scored_with_shuffled_sentences(folder):
    """The last checkpoint of each run is tested once more, with the options of the training."""
    for start, score in (('pre-trained', 50.0), ('random', 30.0)):
        finish(folder / f'referring-{start}-seed0', oIoU=score, mIoU=1, **{'precision@0.5': 2})
    for _ in range(2):
        assert main(['--task', 'referring', '--seeds', '0', '--cfg-options', 'model.a=[2,3]', 'b=1']) == 0
    results = json.loads((folder / 'referring.json').read_text())
    assert {name: runs[0]['oIoU'] for name, runs in results.items()} == {
        'pre-trained': 50,
        'pre-trained, sentences shuffled': 7,
        'random': 30,
        'random, sentences shuffled': 14,
    }
    command, other = commands(folder)  # what is finished is not repeated
    assert command[:2] == ['test', 'mmseg'] and command[3:5] == ['--checkpoint', 'referring-pre-trained-seed0.pth']
    assert other[4] == 'referring-random-seed0.pth'
    shuffled = 'test_dataloader.dataset.shuffle_seed=0'
    assert command[7:] == ['--cfg-options', shuffled, 'model.a=[2, 3]', 'b=1']


def test_tests_without_changes_have_no_empty_option(folder):
    """mmseg's script refuses --cfg-options without a value."""
    finish(folder / 'dmp', mean=1.0)
    assert further_scores('mmseg', 'config.py', folder / 'dmp', 'domain b', [])['mIoU'] == 7
    assert commands(folder)[0][-2] == '--work-dir'


def test_depth_is_compared_with_a_constant(folder, capsys):
    for start in ('pre-trained', 'random'):
        finish(folder / f'depth-{start}-seed3', rmse=0.5, abs_rel=0.125)
    for _ in range(2):
        assert main(['--task', 'depth', '--seeds', '3']) == 0
    assert ['1.500', '1.500'] in [scores for start, *scores in table(capsys) if start.startswith('none')]
    (command,) = commands(folder)
    assert command[0] == 'tools/constant_depth.py' and (ROOT / command[1]).is_file()
