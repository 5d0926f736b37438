"""What the README, the config pages and the guides show is run, not trusted."""

import contextlib
import functools
import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
import torch
from child_processes import fork
from mmengine.config import Config
from mmengine.registry import METRICS, MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from pages import ROOT, anchors, commands, links, markdown_files, run_snippet, snippet, snippets, write_config

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.models import ClassPrompts


def test_swap_in_builds(tmp_path):
    file = write_config('config: swap-in', tmp_path)
    cfg = Config.fromfile(file)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert type(model.backbone).__name__ == 'DiffusionUNet'
    assert model.decode_head.in_channels == list(model.backbone.out_channels)
    assert model.backbone.prompts.num_prompts == 150
    changed = [line for line in file.read_text().splitlines() if not line.startswith('_base_')]
    assert 6 <= len(changed) <= 10


def test_swap_backbone_writes_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_snippet('run: swap_backbone')
    cfg = Config.fromfile('my_config.py')
    init_default_scope('mmdet')
    with torch.device('meta'):
        backbone = MODELS.build(cfg.model).backbone
    assert backbone.prompts.num_prompts == 80
    assert backbone.out_strides == (4, 8, 16, 32) and cfg.model.neck.in_channels == list(backbone.out_channels)


def test_own_classes_build():
    prompts = MODELS.build(run_snippet('prompts: own classes')['prompts'], default_args=dict(embed_dims=12))
    assert isinstance(prompts, ClassPrompts)
    assert prompts(2).shape == (2, 3, 12)


def run_on_a_model(name: str, folder: Path) -> dict:
    """Run a snippet that builds an inferencer, with a checkpoint of random weights in place of its own."""
    config, checkpoint = re.search(r"(configs/.*?)'.*?(work_dirs/.*?)'", snippet(name), re.DOTALL).groups()
    cfg = Config.fromfile(ROOT / config)
    init_default_scope('mmseg')
    state_dict = MODELS.build(cfg.model).state_dict()
    save_checkpoint(
        dict(meta=dict(dataset_meta=dict(classes=[], palette=[])), state_dict=state_dict), str(folder / 'model.pth')
    )
    return run_snippet(name, **{checkpoint: folder / 'model.pth'})


def test_own_image_is_segmented(monkeypatch):
    """By the checkpoint that ships."""
    monkeypatch.chdir(ROOT)
    scope = run_snippet('run: own image')
    assert scope['labels'].shape == (128, 128)
    assert {'wall', 'floor'} < {scope['inferencer'].classes[label] for label in np.unique(scope['labels'])}


def test_inferencer(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    scope = run_snippet('run: inferencer', **{"out_dir='predictions'": f"out_dir='{tmp_path}'"})
    assert scope['labels'].shape == (128, 128) and scope['picture'].shape == (128, 128, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ['scene_labels.png', 'scene_overlay.png']


def test_depth_of_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    depth = run_on_a_model('run: own depth', tmp_path)['depth']
    assert depth.shape == (128, 128) and depth.min() > 0


def test_phrase_in_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    mask = run_on_a_model('run: own phrase', tmp_path)['mask']
    assert mask.shape == (128, 128) and mask.dtype == bool


def test_depth_evaluator_builds():
    evaluator = run_snippet('config: depth evaluator')['val_evaluator']
    init_default_scope('mmseg')
    assert METRICS.build(evaluator).depth_metrics == ('abs_rel', 'rmse', 'd1')


def test_weights_of_deepspeed(tmp_path, monkeypatch):
    checkpoint = tmp_path / 'iter_80000.pth'
    checkpoint.mkdir()
    torch.save(dict(module=dict(weight=torch.ones(2, 3))), checkpoint / 'mp_rank_00_model_states.pt')
    monkeypatch.chdir(tmp_path)
    run_snippet('run: weights of DeepSpeed')
    assert torch.equal(load_file('vpd.pth')['state_dict']['weight'], torch.ones(2, 3))


def show_help(command: tuple[str | Path, ...], target: TextIO) -> int:
    """Do what ``python COMMAND --help`` does, in a process that has imported most of it already."""
    is_module = command[0] == '-m'
    program, *arguments = map(str, command[is_module:])
    os.chdir(ROOT)
    sys.argv = [program, *arguments, '--help']
    sys.path.insert(0, str(Path(program).parent))
    with contextlib.redirect_stdout(target), contextlib.suppress(SystemExit):
        (runpy.run_module if is_module else runpy.run_path)(program, run_name='__main__')
    target.flush()
    return 0


@functools.cache
def options_of(*command: str | Path) -> set[str]:
    """The long options that a program's help names."""
    with tempfile.TemporaryFile('w+') as file:
        os.waitpid(fork(lambda: show_help(command, file)), 0)
        file.seek(0)
        usage = file.read()
    assert usage, command
    return set(re.findall(r'--[a-z][\w-]*', usage))


def options_of_mim(action: str, package: str) -> set[str]:
    """Those of mim itself, and those of the host's script, to which it hands on what it does not know."""
    (folder,) = importlib.util.find_spec(package).submodule_search_locations
    return options_of('-m', 'mim', action) | options_of(Path(folder, '.mim', 'tools', f'{action}.py'))


def test_options_are_those_of_mim_and_of_the_host():
    options = options_of_mim('test', 'mmseg')
    assert {'--launcher', '--gpus', '--checkpoint', '--tta'} < options
    assert not {'--amp', '--work', '--seeds'} & options


@pytest.mark.parametrize('command', commands())
def test_commands_name_what_exists(command):
    words = shlex.split(command)
    for word in words:
        if word.startswith(('configs/', 'mmdiffperc/', 'projects/', 'tools/', 'resources/')):
            assert (ROOT / word).exists(), word
    if words[0] == 'make':
        assert f'\n{words[1]}:' in (ROOT / 'Makefile').read_text()
    options = {word for word in words if word.startswith('--')}
    if words[0] in ('python', '.venv/bin/python'):
        found = options_of(*words[1 : 3 if words[1] == '-m' else 2])
        # The further options of a prediction depend on its config.
        assert options <= found or options <= options_of(*words[1:3])
    elif words[0] == 'torchrun':
        assert options <= options_of('-m', 'torch.distributed.run') | options_of_mim('train', 'mmseg')
    elif words[0] == 'mim' and words[1] in ('train', 'test'):
        assert options <= options_of_mim(*words[1:3])
    elif words[0] == 'pip':
        assert options <= options_of('-m', 'pip', words[1])
    elif words[0] == 'hf':
        assert options <= options_of('-m', 'huggingface_hub.cli.hf', words[1])
    else:
        assert not options, f'nothing checks the options of {words[0]}'


def test_the_first_page_describes_the_package():
    describe = [sys.executable, 'setup.py', '--quiet', '--long-description']
    described = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout
    assert described.strip() == (ROOT / 'README.md').read_text().strip()


@pytest.mark.parametrize('page', markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        target, _, anchor = link.partition('#')
        file = page.parent / target if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_links_are_those_of_the_page():
    found = links(ROOT / 'configs' / 'metaprompts' / 'README.md')
    assert {'../vpd/README.md#depth-estimation', '../vpd/README.md#the-recipe-in-detail'} < set(found)
    assert 'resources/demo.png' in links(ROOT / 'README.md') and not any('//' in link for link in found)
    assert {'vpd-on-ade20k', 'published', 'contributing-licence'} < anchors(ROOT / 'README.md')


def test_every_snippet_is_run():
    tests = '\n'.join(file.read_text() for file in (ROOT / 'tests').rglob('test_*.py'))
    assert [name for name in snippets() if f"'{name}'" not in tests] == []
