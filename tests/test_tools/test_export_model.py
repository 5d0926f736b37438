"""From the command line to ONNX Runtime, as on the page."""

import json
import os
import sys

import export_model
import onnx
import pytest
import tiny_seg
import torch
from mmengine.config import Config
from pages import ROOT, run_snippet
from tiny_arch import write_arch

from mmdiffperc.inference import build_inferencer

SCENE = 'resources/scene.png'


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """A config with few layers, and a checkpoint."""
    folder = tmp_path_factory.mktemp('small')
    cfg = Config.fromfile(tiny_seg.write_config(folder))
    cfg.model.backbone.update(arch=write_arch(folder / 'small', 'two levels'), cross_attention=dict(strides=[2]))
    cfg.model.neck.update(in_channels=[8 + 3, 16], num_outs=2)
    cfg.model.decode_head.update(in_channels=[16] * 2, in_index=[0, 1], feature_strides=[2, 4])
    cfg.dump(folder / 'small.py')
    return str(folder / 'small.py'), tiny_seg.write_checkpoint(str(folder / 'small.py'), folder / 'small.pth')


def test_from_a_checkpoint_to_labels(small, tmp_path, capsys):
    out = tmp_path / 'model.onnx'
    assert export_model.main([*small, '--out-file', str(out), '--dynamic']) == 0
    printed = capsys.readouterr().out
    assert 'logits' in printed and str(out) in printed and '1 x 32 x 48' in printed
    assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'
    metadata = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    image = json.loads(metadata['inputs'])['image']
    assert image['axes'] == ['batch', 3, 'height', 'width'] and 'RGB' in image['meaning']
    assert '3 classes' in json.loads(metadata['outputs'])['logits'] and json.loads(metadata['std']) == [127.5] * 3
    assert (metadata['config'], metadata['part'], metadata['torch']) == (small[0], 'model', torch.__version__)
    names = {f"'{name}'": repr(str(folder / name)) for name, folder in {'model.onnx': tmp_path, SCENE: ROOT}.items()}
    labels = run_snippet('run: onnxruntime', **names)['labels']
    found = capsys.readouterr().out
    assert any(name in found for name in tiny_seg.CLASSES)
    inferencer = build_inferencer(*small, device='cpu')
    inferencer.model.test_cfg.mode = 'whole'
    expected = inferencer(str(ROOT / SCENE))['predictions'][0]['labels']
    assert (labels == expected).mean() > 0.999


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out-file', 'model.onnx', '--part', 'head'], 'model or backbone'),
        (['--out-file', 'model.onnx', '--format', 'torch-export'], '.pt2'),
        (['--out-file', 'model.txt'], '.onnx or .pt2'),
    ],
)
def test_bad_input_is_one_clear_line(small, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert export_model.main([*small, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error and list(tmp_path.iterdir()) == []


def test_without_the_packages_for_onnx(small, monkeypatch, capsys):
    monkeypatch.setattr(export_model, 'find_spec', lambda name: None if name == 'onnxscript' else sys)
    assert export_model.main([*small, '--out-file', 'model.onnx']) == 1
    assert 'onnxscript' in (error := capsys.readouterr().err) and 'mmdiffperc[export]' in error
