"""A published model becomes a config, predicts, and is exported."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from export_marigold import main as export
from import_published import main as import_published
from mmengine.config import Config
from pages import ROOT
from predict import main as predict
from tiny_published import write_published


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp('published') / 'depth')


def test_there_and_back(folder, image, tmp_path, capsys, monkeypatch):
    config, exported = str(tmp_path / 'marigold.py'), str(tmp_path / 'exported')
    monkeypatch.chdir(Path(folder).parent)
    assert import_published([Path(folder).name, '--out-file', config]) == 0
    model = Config.fromfile(config).model
    assert model.target_input == 'noise' and model.arch == model.init_cfg.checkpoint == folder
    with open(config, 'a') as file:
        file.write("\ntest_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(64, 48))]))\n")
    assert export([config, folder, '--out', exported, '--cfg-options', 'model.processing_res=0']) == 0
    assert re.search('shorter side.*48.*model.processing_res', capsys.readouterr().out)
    again, checkpoint = str(tmp_path / 'again.py'), str(tmp_path / 'again.pth')
    assert import_published([exported, '--out-file', again, '--checkpoint-file', checkpoint]) == 0
    cv2.imwrite(str(tmp_path / 'bed.png'), image)
    found = []
    for number, arguments in enumerate([[config, folder], [again, exported], [again, checkpoint]]):
        out = str(tmp_path / f'{number}')
        options = ['--num-steps', '1', '--seed', '3', '--processing-res', '32', '--out', out, '--device', 'cpu']
        assert predict([*arguments, str(tmp_path / 'bed.png'), *options]) == 0
        found.append(np.load(Path(out, 'bed.npz'))['x'])
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_array_equal(found[2], found[1])  # mim test loads the same file
    assert 'affine' in capsys.readouterr().out


def test_a_written_config_is_tested_with_the_shared_data_sets(folder, tmp_path):
    """The config holds only the model; a second base brings the data, and names the host that tests it."""
    assert import_published([folder, '--out-file', str(tmp_path / 'model.py')]) == 0
    shared = ROOT / 'configs' / '_base_' / 'zero_shot_depth.py'
    (tmp_path / 'test.py').write_text(f'_base_ = ["model.py", "{shared}"]\n')
    config = Config.fromfile(tmp_path / 'test.py')
    assert config.default_scope == 'mmseg' and config.model.type == 'OneStepDiffusion'
    assert len(config.test_dataloader) == len(config.test_evaluator) >= 5


def test_a_model_of_the_hub_must_be_downloaded_first(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert import_published(['prs-eth/marigold', '--out-file', 'new.py']) == 1
    assert 'hf download prs-eth/marigold --local-dir marigold"' in (error := capsys.readouterr().err)
    assert error.count('\n') == 1 and list(tmp_path.iterdir()) == []


def test_other_configs_and_folders(folder, tmp_path, capsys):
    config = tmp_path / 'dmp.py'
    config.write_text("model = dict(type='DeterministicDiffusion', arch='tiny-sd', use_prompts=False, lora=None)\n")
    assert export([str(config), folder, '--out', str(tmp_path / 'out')]) == 1
    assert import_published([str(tmp_path), '--out-file', str(tmp_path / 'new.py')]) == 1
    assert not (tmp_path / 'new.py').exists()
    assert 'scheduler_config.json' in capsys.readouterr().err
