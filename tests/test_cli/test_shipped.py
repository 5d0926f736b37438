import os
from pathlib import Path

import pytest

from mmdiffperc_cli.shipped import MIM, find_shipped

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
DMP = 'projects/dmp/configs/dmp_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py'


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        (CONFIG, CONFIG),
        (os.path.basename(CONFIG), CONFIG),
        (os.path.basename(DMP), DMP),
        ('mmdiffperc/assets/demo/vpd_toy.pth', 'mmdiffperc/assets/demo/vpd_toy.pth'),
    ],
)
def test_shipped_files_are_found_from_everywhere(name, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(name) == str(ROOT / file)


def test_own_files_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / os.path.basename(CONFIG)).touch()
    assert find_shipped(os.path.basename(CONFIG)) == os.path.basename(CONFIG)


@pytest.mark.parametrize(
    'name', ['', 'stable-diffusion-v1-5/stable-diffusion-v1-5', '*.py', 'configs', 'x' * 5000, '\0']
)
def test_other_names_stay(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(name) == name


def test_file_names_of_configs_are_unique():
    """mim finds configs by their file names, in the whole package."""
    names = [
        file
        for folder, _, files in os.walk(MIM, followlinks=True)
        for file in files
        if 'configs' in Path(folder).parts and '_base_' not in Path(folder).parts
    ]
    configs = [name for name in names if name.endswith('.py')]
    assert len(configs) == len(set(configs)) > 80
