"""Configs that inherit ours from a folder outside of the repository, as a user's own do."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from pages import ROOT, snippet
from PIL import Image

NAMES = (
    'configs/vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py',
    'configs/metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py',
    'configs/detection/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py',
    'projects/dmp/configs/dmp_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py',
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's folder, in which they work."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('name', NAMES)
def test_inherited_configs_are_the_same_everywhere(folder, name):
    """By absolute path in one file, and by relative path in another that inherits the first."""
    Path('absolute.py').write_text(f'_base_ = {str(ROOT / name)!r}\n')
    (folder / 'inner').mkdir()
    (folder / 'inner' / 'relative.py').write_text("_base_ = '../absolute.py'\n")
    inherited = Config.fromfile('inner/relative.py').to_dict()
    assert inherited == Config.fromfile(ROOT / name).to_dict()


def test_a_config_can_inherit_a_shipped_one_by_its_name(folder):
    """mmengine evaluates ``_base_`` before anything else of the file. It knows the packages of OpenMMLab only."""
    name = Path(NAMES[0]).name
    Path('mine.py').write_text(
        snippet('config: shipped base').replace('vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py', name)
    )
    assert Config.fromfile('mine.py').model == Config.fromfile(ROOT / NAMES[0]).model
    Path('colons.py').write_text(f"_base_ = 'mmdiffperc::{NAMES[0].removeprefix('configs/')}'")
    with pytest.raises(AssertionError, match='mmdiffperc'):
        Config.fromfile('colons.py')


def test_bases_do_not_depend_on_the_working_directory():
    for folder in ('configs', 'projects/dmp/configs'):
        for file in (ROOT / folder).rglob('*.py'):
            bases = re.findall(r"^_base_ = (\[.*?\]|'.*?')$", file.read_text(), re.DOTALL | re.MULTILINE)
            for base in re.findall(r"'(.*?)'", ''.join(bases)):
                assert '::' in base or (file.parent / base).is_file(), f'{file}: {base}'


def test_the_example_trains_in_a_folder_of_its_own(folder):
    labels = np.full((128, 128), 3, np.uint8)
    labels[:60] = 1
    for split in ('training', 'validation'):
        for kind, array in (('images', np.zeros((128, 128, 3), np.uint8)), ('annotations', labels)):
            (folder / 'ade' / kind / split).mkdir(parents=True)
            Image.fromarray(array).save(folder / 'ade' / kind / split / 'a.png')
    code = snippet('config: own folder').replace('/home/me/mmdiffperc', str(ROOT))
    Path('mine.py').write_text(code.replace('/home/me/data/toy', str(folder)))
    cfg = Config.fromfile('mine.py')
    cfg.merge_from_dict(
        dict(
            work_dir='work',
            train_cfg=dict(max_iters=1, val_interval=1),
            default_hooks=dict(checkpoint=dict(interval=1)),
        )
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1 and (folder / 'work/iter_1.pth').is_file()
    assert set(runner.message_hub.log_scalars) >= {'val/mIoU', 'train/loss'}
