"""The new-style configs in the package are the classic ones with classes for names, and they train."""

import inspect
from pathlib import Path

import pkg_resources
import pytest
from environments import write_distribution
from mmengine.config import Config
from mmengine.runner import Runner
from pages import snippet

import mmdiffperc
from mmdiffperc.swap.new_style import to_classic

ROOT = Path(__file__).parents[1]
NEW = Path(mmdiffperc.__file__).parent / 'configs'
NAMES = sorted(str(path.relative_to(NEW)) for path in NEW.rglob('*.py') if path.parent.name != '_base_')
# What a training reads; other variables of a config are only there to compute these, and each model has a preprocessor.
SETTINGS = {*inspect.signature(Runner.__init__).parameters, 'custom_imports', 'tta_model', 'tta_pipeline'}
SETTINGS -= {'data_preprocessor'}
DATA = dict(vpd='ade', metaprompts='ade', detection='coco/', one_step='dmp', dmp='dmp')


def read(name):
    return Config.fromfile(NEW / name)


def classic_file(name):
    """The classic config: its name has hyphens where a module name has underscores."""
    method, stem = name.removesuffix('.py').split('/')
    folder = ROOT / 'projects/dmp/configs' if method == 'dmp' else ROOT / 'configs' / method
    (file,) = (path for path in folder.glob('*.py') if path.stem.replace('-', '_') == stem)
    return file


def without_scope(part, scope):
    """`_scope_` and a prefix tell where a name is registered, which is the same class if a bare name finds it."""
    if isinstance(part, (list, tuple)):
        return [without_scope(each, scope) for each in part]
    if not isinstance(part, dict):
        return part
    part = {key: without_scope(value, scope) for key, value in part.items() if key != '_scope_'}
    if isinstance(part.get('type'), str):
        part['type'] = part['type'].removeprefix(f'{scope}.')
    return part


def test_there_is_one_per_method():
    assert [name.partition('/')[0] for name in NAMES] == sorted(DATA)


@pytest.mark.parametrize('name', NAMES)
def test_equals_the_classic_config(name):
    new, classic = read(name), Config.fromfile(classic_file(name)).to_dict()
    new = to_classic(new, new.default_scope).to_dict()
    for key in sorted(SETTINGS & {*new, *classic}):
        found, expected = (without_scope(cfg.get(key), classic['default_scope']) for cfg in (new, classic))
        assert found == expected, key


@pytest.mark.parametrize('name', NAMES)
def test_trains(name, toy_root, tmp_path):
    cfg = read(name)
    cfg.work_dir = str(tmp_path)
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.dataset.data_root = str(toy_root / DATA[name.partition('/')[0]]) + '/'
    cfg.train_cfg.update(max_iters=2, val_interval=3)
    cfg.default_hooks.checkpoint.interval = 3
    for phase in ('val', 'test'):
        cfg.update({f'{phase}_{part}': None for part in ('cfg', 'dataloader', 'evaluator')})
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    # The copy in the work folder is a classic config, whose custom_imports import the package.
    copy = Config.fromfile(next(tmp_path.glob('*.py')))
    assert copy.custom_imports == cfg.custom_imports


def test_a_users_config_inherits_by_the_name_of_the_package(tmp_path, monkeypatch):
    """As from a wheel: for an editable installation, mmengine looks in the site folder, which holds a link only."""
    write_distribution(tmp_path, 'mmdiffperc', mmdiffperc.__version__)
    (tmp_path / 'mmdiffperc').symlink_to(NEW.parent)
    (installed,) = pkg_resources.find_distributions(str(tmp_path))
    monkeypatch.setitem(pkg_resources.working_set.by_key, 'mmdiffperc', installed)
    (tmp_path / 'mine.py').write_text(snippet('config: new style'))
    mine, ours = Config.fromfile(tmp_path / 'mine.py'), read(next(name for name in NAMES if name.startswith('vpd')))
    assert mine.model.backbone.lora == dict(r=8) and mine.model.neck.to_dict() == ours.model.neck.to_dict()
    assert mine.test_dataloader.dataset.data_root == mine.data_root != ours.data_root
