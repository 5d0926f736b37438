"""What the README and the config pages show is run, not trusted."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint

from mmdiffperc.models import ClassPrompts

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'configs').rglob('README.md'))]
TOY_CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb8-800_toy-128x128.py'
TOY_CHECKPOINT = 'work_dirs/demo/iter_800.pth'


def snippet(name: str) -> str:
    """The code block of the README that stands below the comment ``<!-- name -->``."""
    found = re.search(rf'<!-- {name} -->\n```python\n(.*?)```', PAGES[0].read_text(), re.DOTALL)
    assert found, f'the README has no snippet {name!r}'
    return found[1]


def commands() -> list[str]:
    """All lines of all shell blocks, without comments."""
    blocks = [block for page in PAGES for block in re.findall(r'```bash\n(.*?)```', page.read_text(), re.DOTALL)]
    return [line.split('  #')[0] for block in blocks for line in block.splitlines() if line]


def test_swap_in_builds(tmp_path):
    file = tmp_path / 'swap_in.py'
    file.write_text(snippet('config: swap-in'))
    cfg = Config.fromfile(file)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert type(model.backbone).__name__ == 'DiffusionUNet'
    assert model.decode_head.in_channels == list(model.backbone.out_channels)
    assert model.backbone.prompts.num_prompts == 150
    changed = [line for line in file.read_text().splitlines() if not line.startswith('_base_')]
    assert 6 <= len(changed) <= 10


def test_own_classes_build():
    scope = {}
    exec(snippet('prompts: own classes'), scope)
    prompts = MODELS.build(scope['prompts'], default_args=dict(embed_dims=12))
    assert isinstance(prompts, ClassPrompts)
    assert prompts(2).shape == (2, 3, 12)


def test_own_image_is_segmented(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(TOY_CONFIG)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    checkpoint = tmp_path / 'model.pth'
    meta = dict(dataset_meta=dict(classes=[], palette=[]))
    save_checkpoint(dict(meta=meta, state_dict=model.state_dict()), str(checkpoint))
    code = snippet('run: own image')
    assert TOY_CHECKPOINT in code
    scope = {}
    exec(code.replace(TOY_CHECKPOINT, str(checkpoint)), scope)
    assert scope['labels'].shape == (1, 128, 128)
    assert scope['labels'].max() < model.decode_head.num_classes


@pytest.mark.parametrize('command', commands())
def test_commands_name_what_exists(command):
    words = shlex.split(command)
    for word in words:
        if word.startswith(('configs/', 'tools/', 'resources/')):
            assert (ROOT / word).exists(), word
    if words[0] == 'make':
        assert f'\n{words[1]}:' in (ROOT / 'Makefile').read_text()
    if words[0] == 'python':
        usage = subprocess.run([sys.executable, words[1], '--help'], cwd=ROOT, capture_output=True, text=True).stdout
        assert usage, command
        for option in (word for word in words if word.startswith('--')):
            assert option in usage, option


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
        if not target.startswith('https://'):
            assert (page.parent / target).exists(), target
