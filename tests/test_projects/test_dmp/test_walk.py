"""The script that does everything from a keyword to evaluated predictions, and the commands that the README shows."""

import json
import os
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from host_scripts import read_log, run
from mmengine.config import Config
from pages import ROOT

from mmdiffperc.inference.metadata import read_metadata

WALK = ROOT / 'projects/dmp/tools/walk.sh'
CONFIG = ROOT / 'projects/dmp/configs/dmp_sd1-4_1xb8-50k_bedroom-normals-512x512.py'
# In place of the programs, functions that print their command line.
DRY_RUN = 'show() { printf "%q " "$@"; echo; }; python() { show python "$@"; }; mim() { show mim "$@"; }; . "$0"'


def commands_of_walk(**variables: object) -> list[list[str]]:
    """The words of all commands that the script runs."""
    environment = dict(PATH=os.environ['PATH'], **{name: str(value) for name, value in variables.items()})
    shell = subprocess.run(['bash', '-c', DRY_RUN, WALK], env=environment, capture_output=True, text=True, check=True)
    return [shlex.split(line) for line in shell.stdout.splitlines()]


def run_command(words: list[str]):
    """Run a command of the script in this process."""
    if words[0] == 'python':
        assert import_module(Path(words[1]).stem).main(words[2:]) == 0, words
    else:
        assert words[:3] == ['mim', 'train', 'mmseg']
        run('mmseg', 'train.py', *words[3:])


def test_readme_shows_the_commands():
    page = (ROOT / 'projects/dmp/README.md').read_text()
    (block,) = (block for block in re.findall(r'```bash\n(.*?)```', page, re.DOTALL) if 'make_captions.py' in block)
    assert [shlex.split(line) for line in block.splitlines()] == commands_of_walk()


@pytest.mark.parametrize('kind', ['normals', 'depth', 'albedo', 'shading', 'segmentation'])
def test_commands_of_each_kind_are_valid(kind, monkeypatch):
    monkeypatch.chdir(ROOT)
    seg = dict(TARGET_OPTIONS=f'--config {CONFIG} --weights seg.pth') if kind == 'segmentation' else {}
    *_, evaluation = commands = commands_of_walk(KIND=kind, **seg)
    for program, script, *arguments in commands:
        if program == 'python':
            tool = import_module(Path(script).stem)
            getattr(tool, 'parse_args', tool.build_parser().parse_args)(arguments)
    expected = dict(normals='angular', depth='delta', segmentation='miou').get(kind, 'mse')
    assert expected in evaluation and f'work_dirs/dmp_bedroom_{kind}/measures.json' in evaluation


@pytest.fixture
def config(tmp_path):
    """The config of the paper with tiny-sd, small images and two iterations."""
    config = Config.fromfile(CONFIG)
    config.model.update(arch='tiny-sd', num_steps=2, init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'))
    config.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.checkpoint.interval = 2
    for phase in ('train', 'val', 'test'):
        loader = config[f'{phase}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(tmp_path / 'data')
        (resize,) = (transform for transform in loader.dataset.pipeline if transform.type == 'Resize')
        resize.scale = (32, 32)
    config.dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def test_from_a_keyword_to_measures(tmp_path, config, language_model, marigold_folder):
    variables = dict(
        DATA=tmp_path / 'data',
        CONFIG=config,
        WORK=tmp_path / 'work',
        WEIGHTS=tmp_path / 'work/lora_iter_2',
        IMAGE_MODEL='tiny-sd',
        NUM_TRAIN=3,
        NUM_VAL=2,
        CAPTION_OPTIONS=f'--keyword bedroom --model {language_model} --max-tokens 8',
        IMAGE_OPTIONS='--size 32 48 --num-steps 1',
        TARGET_OPTIONS=f'--model {marigold_folder("normals")}',
        TRAIN_OPTIONS='--cfg-options default_hooks.logger.interval=1',
    )
    for words in commands_of_walk(**variables):
        run_command(words)
    captions = {split: read_metadata(tmp_path / 'data' / split / 'metadata.jsonl') for split in ('train', 'val')}
    assert [len(lines) for lines in captions.values()] == [3, 2]
    assert captions['val'] != captions['train'][:2]
    *training, validation = read_log(tmp_path / 'work')
    assert [line['step'] for line in training] == [1, 2]
    assert 0 < validation['l1'] < 1
    measures = json.loads((tmp_path / 'work/measures.json').read_text())
    assert measures['images'] == 2 and 0 < measures['metrics']['l1'] < 1 and 0 < measures['metrics']['angular'] < 2
    predictions = sorted(file.name for file in (tmp_path / 'work/predictions').iterdir())
    assert predictions == ['000000.npz', '000000.png', '000001.npz', '000001.png']
