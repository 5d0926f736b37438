import torch
from safetensors.torch import save_file

from mmdiffperc import progress as module
from mmdiffperc.compat.checkpoint import find_damage
from mmdiffperc.generative.data.target_stores import FolderTargets
from mmdiffperc.models import ClassPrompts
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder
from mmdiffperc.nearest import check_listed
from mmdiffperc.progress import progress
from mmdiffperc.weights.weight_file import Assignment, WeightFile


def test_short_work_shows_no_bar(capsys):
    assert list(progress([3, 5], 'scenes', 'scene')) == [3, 5]
    assert capsys.readouterr() == ('', '')


def test_longer_work_shows_one(capsys, monkeypatch):
    monkeypatch.setattr(module, 'DELAY', 0)
    assert list(progress([3, 5], 'scenes', 'scene')) == [3, 5]
    last = capsys.readouterr().err.rpartition('\r')[2]
    assert 'scenes: 100%' in last and '2/2' in last and 'scene/s' in last


def test_only_the_main_process_shows_it(capsys, monkeypatch):
    monkeypatch.setattr(module, 'DELAY', 0)
    monkeypatch.setattr(module, 'is_main_process', lambda: False)
    assert list(progress([3, 5], 'scenes', 'scene')) == [3, 5]
    assert capsys.readouterr().err == ''


def test_reading_weights_shows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, 'DELAY', 0)
    weights = dict(a=torch.ones(2, 3), b=torch.zeros(5))
    save_file(weights, tmp_path / 'unet.safetensors')
    WeightFile(tmp_path / 'unet.safetensors').fill([Assignment(torch.empty_like(weights[key]), key) for key in weights])
    torch.save(weights, tmp_path / 'vpd.pth')
    assert find_damage(tmp_path / 'vpd.pth') is None
    shown = capsys.readouterr().err
    assert 'unet.safetensors: 100%' in shown and '2/2' in shown and 'vpd.pth: ' in shown


def test_looking_for_the_files_of_a_data_set_shows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, 'DELAY', 0)
    files = [tmp_path / name for name in ('a.png', 'b.png')]
    for file in files:
        file.write_bytes(b'content')
    check_listed([str(file) for file in files], str(tmp_path), 'img_suffix', '.png')
    assert FolderTargets(tmp_path).missing(['a', 'b']) == []
    shown = capsys.readouterr().err
    assert 'find files: 100%' in shown and f'{tmp_path.name}: 100%' in shown


def test_encoding_class_names_shows_it(capsys, monkeypatch):
    monkeypatch.setattr(module, 'DELAY', 0)
    encoder = SentenceEncoder('tiny-sd', 20)
    encoder.is_init = True
    ClassPrompts(classes=['tram', 'stop'], embed_dims=96).encode(encoder)
    assert 'class prompts: 100%' in capsys.readouterr().err
